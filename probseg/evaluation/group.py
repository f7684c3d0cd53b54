"""A group of figures that share their statistics: sums over cases first, figures of the sums last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import Figure, ratio
from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.evaluation.case import EvaluatedCase
from probseg.labels import LabelSet

__all__ = ["FigureGroup", "FigureName", "OfColumns", "means"]


class FigureName(NamedTuple):
    """What a figure is called in ``results.csv``; ``structure`` is a class or group, empty where it is of all."""

    metric: str
    structure: str = ""


class OfColumns(NamedTuple):
    """A figure of some of the columns of summed statistics; a case counts in it where one of them is not 0."""

    columns: slice
    figure: Figure

    def per_case(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure of every row of ``(cases, k)`` statistics: ``(cases,)``."""
        return np.asarray(self.figure(sums[:, self.columns]), dtype=np.float64)

    def over(self, sums: NDArray[np.float64], patients: Sequence[str], samples: int, seed: int) -> Interval:
        """The figure over all cases with its 95 % interval over patients."""
        chosen = sums[:, self.columns]
        counts = (chosen != 0).any(axis=1)
        kept = [patient for patient, counted in zip(patients, counts.tolist(), strict=True) if counted]
        return bootstrap(chosen[counts], kept, self.figure, samples, seed)


def means(names: Iterable[FigureName]) -> dict[FigureName, OfColumns]:
    """Figures that are ratios of two sums, such as means over cases, in the order of `as_pairs`."""
    return {name: OfColumns(slice(2 * k, 2 * k + 2), ratio) for k, name in enumerate(names)}


class FigureGroup(ABC):
    """Figures that are functions of statistics summed over cases; the NumPy twin of `probseg.metrics.CaseMetric`.

    Args:
        labels: the label set.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels

    @property
    @abstractmethod
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """The figures by name, each a function of some of the columns of `statistics`."""

    @abstractmethod
    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """``(k,)`` statistics of a case; they add up over cases, and are 0 where a figure is undefined."""
