"""Does the model know when it is wrong, where raters differ, and when a scan is from elsewhere?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval
from probseg.analysis.expected_agreement import ExpectedAgreement, expected_agreement
from probseg.analysis.failure import FailureFigures, failure_figures, failure_table
from probseg.analysis.image_scores import image_scores, mean_pairwise_dice
from probseg.analysis.known import mean_of_known
from probseg.analysis.overlap import dice, overlap_counts
from probseg.analysis.region import dilated
from probseg.analysis.tables import Table, ends, interval_columns
from probseg.analysis.uncertainty_split import SplitFigures, split_sentence, split_table, uncertainty_split
from probseg.analysis.voxel_ranking import disagreement_counts, error_counts, voxel_figures
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.settings import EvaluationSettings

__all__ = ["CaseScores", "Ranking", "case_scores", "rank"]


@dataclass(frozen=True, eq=False)
class CaseScores:
    """What ranks one case among others.

    Attributes:
        scores: name to how unsure the model is of the case, `probseg.analysis.image_scores.image_scores`; taken without
            any rater, in what the model drew, grown by 5 mm.
        dice: of the mode, mean over raters and classes; NaN where undefined.
        expected, observed: mean Dice of every two readings, and of every two raters.
        disagreement, errors: map to counts of voxels by uncertainty and by the raters' entropy, or by right and wrong;
            in the region of `EvaluatedCase`.
    """

    scores: Mapping[str, float]
    dice: float
    expected: float
    observed: float
    disagreement: Mapping[str, NDArray[np.int32]]
    errors: Mapping[str, NDArray[np.int32]]


def case_scores(case: EvaluatedCase) -> CaseScores:
    """Reduce a case to what ranks it."""
    prediction, classes = case.prediction, case.labels.num_classes
    drawn = dilated(prediction.mode > 0, case.spacing_mm)
    known = prediction.draws_ml[:, ~np.isnan(prediction.draws_ml).any(axis=0)]
    volumes = known if len(known) > 1 and known.size else None
    scores = image_scores(prediction.maps, drawn, prediction.readings, classes, volumes, 1 - prediction.mean[0])
    overlap = dice(overlap_counts(prediction.mode[None], case.masks, classes, None, case.rated))
    where = {"rated": case.rated, "region": case.region}
    return CaseScores(
        scores,
        mean_of_known(overlap[0, :, 1:]),
        mean_pairwise_dice(prediction.readings, classes),
        mean_pairwise_dice(case.masks, classes, case.rated),
        {
            name: disagreement_counts(values, case.masks, classes, **where).astype(np.int32)
            for name, values in prediction.maps.items()
        },
        {
            name: error_counts(values, prediction.mode, case.masks, classes, **where).astype(np.int32)
            for name, values in prediction.maps.items()
        },
    )


@dataclass(frozen=True, eq=False)
class Ranking:
    """What scores of cases and maps of voxels are worth.

    Attributes:
        failures: each score of a case against the quality of its prediction, the best first.
        agreement: what the readings foretell of the raters' Dice.
        voxels: ``(map, figure)`` to how well a map tells where raters differ and where the mode is wrong.
        split: epistemic and ambiguity against other sites and dispute; None where it was not said which sites the model
            knows, or where it lacks one of the two.
        missing: which of the two the model lacks; looked for only where the sites were said.
    """

    failures: tuple[FailureFigures, ...]
    agreement: ExpectedAgreement
    voxels: Mapping[tuple[str, str], Interval]
    split: SplitFigures | None
    missing: tuple[str, ...] = ()

    def tables(self) -> dict[str, Table]:
        """``failures.csv``, ``maps.csv`` and, with a split, ``split.csv``."""
        maps = list(dict.fromkeys(name for name, _ in self.voxels))
        figures = list(dict.fromkeys(figure for _, figure in self.voxels))
        rows: list[tuple[object, ...]] = [
            (name, *(cell for figure in figures for cell in ends(self.voxels[name, figure]))) for name in maps
        ]
        found = {
            "failures": failure_table(self.failures),
            "maps": Table(("map", *interval_columns(figures)), rows),
        }
        return found | ({} if self.split is None else {"split": split_table(self.split)})

    def sentences(self) -> list[str]:
        """The best score, what readings foretell, and whether the split of uncertainty holds."""
        said = []
        best = next((f for f in self.failures if f.spearman.n > 2 and not np.isnan(f.spearman.value)), None)
        if best is not None:
            rho = best.spearman
            between = "" if np.isnan(rho.low) else f" ({rho.low:.2f} to {rho.high:.2f})"
            said.append(
                f"Of {len(self.failures)} scores that need no rater, {best.score.replace('_', ' ')} ranks cases best "
                f"by their Dice: excess AURC {best.excess_aurc.value:.3f}, Spearman {rho.value:.2f}{between}."
            )
        if self.agreement.mae.n:
            said.append(
                f"Readings foretell the raters' mutual Dice with a mean error of {self.agreement.mae.value:.3f} and a "
                f"bias of {self.agreement.bias.value:+.3f}."
            )
        if self.missing:
            said.append(
                f"The model has no {' and no '.join(self.missing)} uncertainty at all, so whether epistemic tells "
                "other sites and ambiguity dispute cannot be asked of it."
            )
        return said + ([] if self.split is None else [split_sentence(self.split)])


def rank(
    cases: Sequence[CaseScores],
    patients: Sequence[str],
    sites: Sequence[str],
    settings: EvaluationSettings,
) -> Ranking:
    """Rank cases and voxels.

    Args:
        cases: one entry a case.
        patients: of the cases.
        sites: of the cases.
        settings: sites that the model has seen, what counts as failed, and the bootstrap.

    Raises:
        ProbsegError: E_ARGUMENT where the sites seen do not fit those of the cases.
    """
    settings.checked(sites)
    samples, seed = settings.samples, settings.seed
    names = list(cases[0].scores)
    scores = {name: [case.scores[name] for case in cases] for name in names}
    maps = list(cases[0].disagreement)
    disagreement = {name: np.array([case.disagreement[name] for case in cases], dtype=np.float64) for name in maps}
    errors = {name: np.array([case.errors[name] for case in cases], dtype=np.float64) for name in maps}
    split: SplitFigures | None = None
    missing: tuple[str, ...] = ()
    if settings.seen_sites is not None:
        # a model of one set of weights has nothing but 0, and of one reading no ambiguity
        missing = tuple(name for name in ("epistemic", "ambiguity") if not disagreement[name][:, 1:].any())
    if settings.seen_sites is not None and not missing:
        of_region = {name: scores[f"{name}_region"] for name in maps}
        elsewhere = [site not in settings.seen_sites for site in sites]
        split = uncertainty_split(of_region, elsewhere, disagreement, patients, samples, seed)
    return Ranking(
        tuple(failure_figures(scores, [c.dice for c in cases], patients, settings.failure_dice, samples, seed)),
        expected_agreement([c.expected for c in cases], [c.observed for c in cases], patients, samples, seed),
        voxel_figures(disagreement, errors, patients, samples, seed),
        split,
        missing,
    )
