"""Does the split of uncertainty mean what its names say, on this data?

Epistemic uncertainty should be high where the model has seen nothing like it, as on scans of another site; ambiguity
where raters dispute. Neither follows from the names (Mucsányi, Kirchhof and Oh 2024, arXiv:2402.19460), so both are
measured: each of the four maps tells scans of another site from the rest, and voxels that raters dispute from the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.analysis.detection import auroc_of_counts, ranked
from probseg.analysis.tables import Table, ends, interval_columns
from probseg.analysis.weighted_bootstrap import bootstrap_weighted
from probseg.errors import ProbsegError

__all__ = ["SplitFigures", "split_sentence", "split_table", "uncertainty_split"]

_FIRST, _SECOND = "epistemic", "ambiguity"


@dataclass(frozen=True)
class SplitFigures:
    """AUROC of every map for both questions, and the two differences that the names promise to be above 0.

    Attributes:
        shift: map to AUROC of telling scans of another site, from the mean of the map in the region of each scan.
        dispute: map to AUROC of telling voxels on which raters differ, over the voxels of all scans.
        shift_difference: epistemic less ambiguity, of the same draws of patients.
        dispute_difference: ambiguity less epistemic.
    """

    shift: Mapping[str, Interval]
    dispute: Mapping[str, Interval]
    shift_difference: Interval
    dispute_difference: Interval


def uncertainty_split(
    scores: Mapping[str, ArrayLike],
    other_site: ArrayLike,
    disagreement: Mapping[str, NDArray],
    patients: Sequence[str] | NDArray,
    samples: int = 1000,
    seed: int = 0,
) -> SplitFigures:
    """Measure the split.

    Args:
        scores: map (``entropy``, ``epistemic``, ``ambiguity``, ``noise``) to ``(cases,)``, its mean in the region.
        other_site: ``(cases,)`` booleans, whether a scan is of a site that the model was not trained on.
        disagreement: the same names to ``(cases, bins, dispute bins)``, `probseg.analysis.voxel_ranking`.
        patients: ``(cases,)``.
        samples: bootstrap samples.
        seed: of the draws, the same for every map.

    Returns:
        NaN where undefined: all scans of one kind, or no dispute.

    Raises:
        ProbsegError: E_ARGUMENT where epistemic or ambiguity is missing.
    """
    missing = [n for n in (_FIRST, _SECOND) if n not in scores or n not in disagreement]
    if missing:
        raise ProbsegError("E_ARGUMENT", f"the split compares epistemic and ambiguity; there is no {missing[0]}")
    shifted = np.asarray(other_site, dtype=bool)
    score = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    known: NDArray[np.bool_] = ~np.isnan(np.array([*score.values()])).any(axis=0)  # the same scans for every map

    def shift(name: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = ranked(np.where(known, score[name], math.nan), shifted, weights)
        return auroc_of_counts(counts.positive, counts.negative)

    def dispute(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = sums.reshape(*sums.shape[:-1], -1, 2)
        return auroc_of_counts(counts[..., 1], counts[..., 0])

    voxels = {name: np.stack([c[..., 0], c[..., 1:].sum(axis=-1)], axis=-1) for name, c in disagreement.items()}
    both = np.concatenate([voxels[n].reshape(len(known), -1) for n in (_SECOND, _FIRST)], axis=1)
    half = both.shape[1] // 2
    return SplitFigures(
        {n: bootstrap_weighted(partial(shift, n), patients, known, samples, seed) for n in score},
        {n: bootstrap(v.reshape(len(v), -1), patients, dispute, samples, seed) for n, v in voxels.items()},
        bootstrap_weighted(lambda w: shift(_FIRST, w) - shift(_SECOND, w), patients, known, samples, seed),
        bootstrap(both, patients, lambda s: dispute(s[..., :half]) - dispute(s[..., half:]), samples, seed),
    )


def split_sentence(figures: SplitFigures) -> str:
    """Whether the split holds on this data, with the differences and their 95 % intervals."""
    shift, dispute = figures.shift_difference, figures.dispute_difference
    parts = (
        f"epistemic uncertainty tells scans of another site {_verdict(shift)} than ambiguity does "
        f"(AUROC {_signed(shift)})",
        f"ambiguity tells voxels that raters dispute {_verdict(dispute)} than epistemic uncertainty does "
        f"(AUROC {_signed(dispute)})",
    )
    if any(math.isnan(i.value) for i in (shift, dispute)):
        opening = "Whether the split holds on this data cannot be measured"
    elif shift.low > 0 and dispute.low > 0:
        opening = "The split holds on this data"
    elif shift.high < 0 or dispute.high < 0:
        opening = "The split does not hold on this data"
    else:
        opening = "Whether the split holds on this data remains open"
    return f"{opening}: {parts[0]}, and {parts[1]}."


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "neither provably better nor worse"


def _signed(difference: Interval) -> str:
    if math.isnan(difference.value):
        return "undefined"
    return f"{difference.value:+.3f}, 95 % interval {difference.low:+.3f} to {difference.high:+.3f}"


def split_table(figures: SplitFigures) -> Table:
    """A row a map: AUROC for another site and for dispute, each with its ends and n."""
    rows: list[tuple[object, ...]] = [
        (name, *ends(figures.shift[name]), *ends(figures.dispute[name])) for name in figures.shift
    ]
    return Table(("map", *interval_columns(("other_site_auroc", "disagreement_auroc"))), rows)
