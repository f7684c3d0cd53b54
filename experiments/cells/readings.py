"""What was measured of raters and of models' readers, as arrays over the same images and raters."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.analysis import pairwise_dice
from probseg.fusion import majority, staple_labels
from probseg.io.tables import write_csv
from probseg.records import Dataset

__all__ = ["FUSED", "MODELS", "Readings", "person", "read_folds", "read_readers", "rows_of", "write_raters"]

Floats = NDArray[np.float64]
FUSED = ("STAPLE", "MAJORITY")
COLUMNS = ("case_id", "reader", "rater", "dice", "reader_pixels")
MODELS = ("majority", "rater_conditioned", "staple", "rater_confusion", "stochastic_segmentation")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def person(rater: str) -> str:
    """``Person1-Amira`` is a reading of ``Person1``."""
    return rater.partition("-")[0]


@dataclass(frozen=True, eq=False)
class Readings:
    """Every reader against every rater.

    Attributes:
        cases, raters: names along the axes.
        dice: reader to ``(cases, raters)``; NaN where a reader did not read an image.
        pixels: reader to ``(cases,)`` drawn pixels, likewise.
    """

    cases: tuple[str, ...]
    raters: tuple[str, ...]
    dice: dict[str, Floats]
    pixels: dict[str, Floats]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str, float, float]]) -> Readings:
        """From rows of case, reader, rater, Dice and the reader's pixels."""
        kept = list(rows)
        cases, raters = (tuple(sorted({row[k] for row in kept})) for k in (0, 2))
        readers = sorted({row[1] for row in kept})
        dice = {reader: np.full((len(cases), len(raters)), np.nan) for reader in readers}
        pixels = {reader: np.full(len(cases), np.nan) for reader in readers}
        for case, reader, rater, value, drawn in kept:
            dice[reader][cases.index(case), raters.index(rater)] = value
            pixels[reader][cases.index(case)] = drawn
        return cls(cases, raters, dice, pixels)

    def own(self, rater: str) -> Floats:
        """``(cases,)``: the reader of a rater's name against that rater."""
        return self.dice[rater][:, self.raters.index(rater)]

    def others(self, rater: str, same_person: bool = False) -> Floats:
        """``(cases,)``: the mean of other persons' readers against a rater, or of the same person's other tool."""
        kept = [r for r in self.raters if r != rater and (person(r) == person(rater)) == same_person]
        if not kept:
            return np.full(len(self.cases), np.nan)
        return np.asarray(np.mean([self.dice[r][:, self.raters.index(rater)] for r in kept], axis=0))

    def bias(self, rater: str) -> Floats:
        """``(cases,)``: log of a reader's pixels over the geometric mean of those of the other raters' readers."""
        logs = {r: np.log(np.maximum(self.pixels[r], 1.0)) for r in self.raters}
        return np.asarray(logs[rater] - np.mean([logs[r] for r in self.raters if r != rater], axis=0))


def rater_rows(dataset: Dataset) -> Iterator[tuple[str, str, str, float, float]]:
    """The raters in the place of readers, and beside them `FUSED`, two masks made of all of them.

    A rater is not compared with itself, and a fused mask has the rater that it is compared with among its sources.
    """
    for case in dataset:
        masks, rated = case.stacked()
        fused = [staple_labels(masks, rated, 2), majority(masks, rated, 2)[0]]
        drawn = np.concatenate([masks, np.stack(fused)])
        dice = pairwise_dice(drawn, 2)[..., 1]
        names = [*case.masks, *FUSED]
        for k, reader in enumerate(names):
            for j, rater in enumerate(case.masks):
                if k != j:
                    yield case.case_id, reader, rater, float(dice[k, j]), float((drawn[k] == 1).sum())


def write_raters(dataset: Dataset, path: Path) -> None:
    """Every rater and fused mask against every rater as a table, like the ``readers.csv`` of a model."""
    write_csv(path, COLUMNS, rater_rows(dataset))


def read_readers(paths: Iterable[Path]) -> Readings:
    """What `write_raters` or ``score.py`` wrote, of one file or of several that have other images each."""
    return Readings.of(
        (row["case_id"], row["reader"], row["rater"], float(row["dice"] or math.nan), float(row["reader_pixels"]))
        for path in paths
        for row in rows_of(path)
    )


def read_folds(folds: Iterable[Path], model: str) -> Readings | None:
    """A model's readers over all folds; None where not every fold has been scored."""
    paths = [fold / model / "readers.csv" for fold in folds]
    return read_readers(paths) if all(path.is_file() for path in paths) else None
