"""What each figure of an agreement report means, in a sentence; these stand in ``agreement.json``."""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
    "dice": "mean over cases of the mean over pairs of raters; a pair that drew nothing is left out and counted",
    "surface_distance_mean_mm": "mean over the surface voxels of both masks of the distance to the other surface",
    "surface_distance_95_mm": "the larger of the two directions' 95th percentiles",
    "surface_dice": "share of the surface voxels of both masks within a tolerance of the other surface",
    "complete_agreement": "share of voxels where all raters agree, in the union of their foreground",
    "rater_entropy": "entropy of the raters' vote, mean over the region, nats",
    "cohen_kappa": "of two raters over the region; mean over cases of the mean over pairs",
    "fleiss_kappa": "of all raters over the voxels of the region that all rated; mean over cases",
    "krippendorff_alpha": "of all raters over the voxels of the region that two or more rated; mean over cases",
    "pooled": "the same of the voxels of all cases together",
    "disagreement": "each voxel that differs is class (both drew, not the same), presence (one drew, and the other "
    "nothing of that connected finding) or extent (the rest); shares of the sum over all cases and pairs",
    "confusion": "voxels that rater_a calls the row and rater_b the column, wherever both looked",
    "volume_ml": "mean over cases of the raters' mean volume",
    "range_ml": "mean over cases of the largest less the smallest volume that raters drew",
    "volume_log_ratio": "log of a rater's volume over the geometric mean of the others'; 0 is no bias",
    "interval": "95 % percentile bootstrap over patients; null for fewer than two patients",
    "consensus_dice": "with the majority of the other raters of the case; a tie is outside",
    "sensitivity": "of the voxels of the region that the majority of the others drew, the share that the rater drew",
    "specificity": "of the voxels of the region that the majority of the others left, the share that the rater left",
    "staple_sensitivity": "likewise against STAPLE of all cases together, the raters the same persons throughout",
    "outlier": "modified z-score below -3.5 and 0.05 or more below the median, of Dice with the majority of the others",
    "repeats": "two readings of one person differ by less than the coefficient in 95 % of cases, 1.96 sqrt(mean d^2)",
    "icc": "intraclass correlation of volumes over the cases that all raters read; incomplete cases are left out",
    "bland_altman": "mean difference, limits 1.96 SD from it, and slope of the difference on the mean",
    "percent_of_lung": "of the lung that the same rater drew, opacities included; lung without opacity is well aerated",
    "ceiling": "one rater held out and the model in that place, against the same others; the difference is model less "
    "rater, with a BCa interval over patients",
    "williams": "mean agreement of model and raters over that of raters among themselves; for distances the inverse",
    "planning": "numbers that would bring the 95 % interval to half; 'any raters' draws raters anew as well",
    "second_readings": "gain is Q / (m (m + 1)) for m readings, Q the volume on which two readings are expected to "
    "differ",
}
