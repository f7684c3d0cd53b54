"""What pictures of a study of raters are drawn from, whether it was just made or lies on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import PREDICTION
from probseg.analysis.ceiling import Ceiling
from probseg.analysis.rater_figures import ConfusionCell
from probseg.analysis.study import Study

__all__ = ["AgreementFigures", "PairDice"]


@dataclass(frozen=True)
class PairDice:
    """Dice of two parties in one structure of one case; NaN where neither drew it."""

    case_id: str
    rater_a: str
    rater_b: str
    structure: str
    dice: float


@dataclass(frozen=True, eq=False)
class AgreementFigures:
    """Figures of a study of raters, as far as they are drawn.

    Attributes:
        refused: why nothing is said of single raters; None where it is.
        classes: names of the leaf classes, background first.
        raters: names of the raters, sorted.
        pairs: every two raters, and the prediction with each.
        confusion: rater to cells; empty where raters have no stable identity.
        case_ids: of the volumes.
        parties: the raters, then the prediction if there is one.
        structures: of the volumes.
        volumes: ``volume_ml`` and ``percent_of_lung`` as far as known, ``(cases, parties, structures)``.
        ceiling: the model in a rater's place; empty without predictions.
    """

    refused: str | None
    classes: tuple[str, ...]
    raters: tuple[str, ...]
    pairs: tuple[PairDice, ...]
    confusion: Mapping[str, tuple[ConfusionCell, ...]] = field(default_factory=dict)
    case_ids: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    volumes: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    ceiling: tuple[Ceiling, ...] = ()

    @classmethod
    def of(cls, study: Study | AgreementFigures) -> AgreementFigures:
        """The figures of a study; figures are their own."""
        if isinstance(study, AgreementFigures):
            return study
        drawn = study.volumes
        return cls(
            study.refused,
            study.info.labels.names,
            tuple(sorted({r for c in study.cases for r in c.raters})),
            tuple(
                PairDice(c.case_id, p.rater_a, p.rater_b, p.structure, p.dice)
                for c in study.cases
                for p in (*c.pairs, *c.prediction_pairs)
            ),
            {card.rater: card.confusion for card in study.raters},
            drawn.case_ids,
            drawn.parties,
            drawn.structures,
            drawn.measures(),
            study.ceiling,
        )

    @property
    def predicted(self) -> bool:
        """Whether a model stands beside the raters."""
        return any(PREDICTION in (p.rater_a, p.rater_b) for p in self.pairs)
