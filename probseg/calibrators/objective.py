"""What a calibrator minimises: how surprising the raters' labels are under the mean over draws."""

from __future__ import annotations

from torch import Tensor

from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution
from probseg.likelihood import every_label_log_likelihood

__all__ = ["marginal_nll"]

_LEAST = 1e-12


def marginal_nll(distribution: SegmentationDistribution, sample: CalibrationSample) -> Tensor:
    """Rater-marginal negative log-likelihood of the mean over draws, nats a trial; cases count alike.

        - sum over cases, voxels and labels of w log( sum over classes that the label admits of mean over draws of p )

    It is the figure ``nll`` of ``results.csv``, in the region around what raters or the model drew: over the whole
    image easy background would decide nearly alone. Of the mean and not of each draw, because the mean is what is
    read as a probability, and to make each draw likely under all raters would make all draws alike.

    Args:
        distribution: a calibrated ``sample.distribution``.
        sample: weights w that sum to 1.

    Returns:
        A scalar, at least 0.
    """
    log_mean = distribution.mean.clamp(min=_LEAST).log()  # (batch, classes, *space)
    each = every_label_log_likelihood(log_mean, sample.admissible, dim=1)
    return -(sample.votes * each).sum() / sample.votes.sum()
