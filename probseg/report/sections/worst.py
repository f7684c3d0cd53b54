"""The worst cases to look at, of datasets and predictions: a plane of each on the page, the whole in the viewer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probseg.case import Case
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, PredictedDistribution, read_distribution
from probseg.records import Dataset
from probseg.report.gallery import structure_of_interest, worst_plane
from probseg.report.inputs import Inputs, StoredPredictions
from probseg.report.results import Example, RunResult
from probseg.report.sections.case_table import CaseKey, CaseRow, CaseTableView
from probseg.report.viewer.layers import ViewedCase, viewed_case
from probseg.report.viewer.payload import Candidate

__all__ = ["CaseFiles", "ShownCase", "candidates", "shown_cases"]


@dataclass(frozen=True, eq=False)
class ShownCase:
    """A case on the page.

    Attributes:
        key, why: which, and what it stands for.
        example: its plane.
        about: its dataset, the layout of ``dataset.yaml``.
        run: whose prediction it is, with the figures of an evaluation if there is one; None without a prediction.
    """

    key: CaseKey
    why: str
    example: Example
    about: Mapping[str, Any]
    run: RunResult | None


@dataclass(eq=False)
class CaseFiles:
    """Reads cases with their predictions; keeps the last one, for the page and the viewer ask in turn."""

    inputs: Inputs
    _last: tuple[CaseKey, Case, PredictedDistribution | None] | None = field(default=None, repr=False)

    def source(self, key: CaseKey) -> tuple[Dataset, StoredPredictions | None] | None:
        """The dataset of a case and its predictions, if any; None where the dataset was not given."""
        dataset = self.inputs.dataset(key.dataset)
        if dataset is None or all(r.case_id != key.case_id for r in dataset.records):
            return None
        of = (p for p in self.inputs.predictions if p.dataset is dataset and key.case_id in p.cases)
        return dataset, next(of, None)

    def read(self, key: CaseKey) -> tuple[Case, PredictedDistribution | None]:
        """A case of `source`."""
        if self._last is None or self._last[0] != key:
            found = self.source(key)
            assert found is not None
            dataset, predictions = found
            record = next(r for r in dataset.records if r.case_id == key.case_id)
            case, labels = dataset.load(record), dataset.info.labels
            own = (
                None
                if predictions is None
                else read_distribution(predictions.cases[key.case_id], case.geometry, labels)
            )
            self._last = (key, case, own)
        return self._last[1], self._last[2]


def shown_cases(files: CaseFiles, order: Sequence[tuple[CaseKey, str]], count: int) -> Iterator[ShownCase]:
    """The first ``count`` cases whose dataset was given, the plane on which raters differ most of each."""
    shown = 0
    for key, why in order:
        found = files.source(key)
        if found is None:
            continue
        if shown == count:
            return
        shown += 1
        dataset, predictions = found
        case, own = files.read(key)
        yield ShownCase(
            key, why, _example(case, dataset, own), dataset.info.to_dict(), _run_of(files.inputs, dataset, predictions)
        )


def candidates(files: CaseFiles, order: Sequence[tuple[CaseKey, str]], view: CaseTableView) -> Iterator[Candidate]:
    """Cases for the viewer in the same order."""
    rows = {row.key: row for row in view.rows}
    for key, why in order:
        found = files.source(key)
        if found is not None:
            yield _candidate(files, key, found[0], _numbers(rows[key], view, why))


def _candidate(files: CaseFiles, key: CaseKey, dataset: Dataset, numbers: tuple[tuple[str, str], ...]) -> Candidate:
    structure = structure_of_interest(dataset.info.labels)

    def make(coarse: bool) -> ViewedCase:
        case, own = files.read(key)
        top = math.log(dataset.info.labels.num_classes)
        if own is not None:
            largest = float(np.nanmax(own.maps["entropy"], initial=0.0))
            top = min(top, max(math.ceil(largest * 10) / 10, 0.1))
        return viewed_case(case, dataset.info, own, structure, top, coarse)

    return Candidate(key.case_id, key.anchor, dataset.info.labels, numbers, make)


def _numbers(row: CaseRow, view: CaseTableView, why: str) -> tuple[tuple[str, str], ...]:
    cells = zip(view.headings, row.cells, strict=True)
    found = [(f"{heading}, {of}" if of else heading, cell.value) for (heading, of), cell in cells]
    return (*((("shown", why),) if why else ()), *((("site", row.site),) if row.site else ()), *found)


def _run_of(inputs: Inputs, dataset: Dataset, predictions: StoredPredictions | None) -> RunResult | None:
    """Figures of the model that predicted, of an evaluation of the same model on the same data if there is one."""
    if predictions is None:
        return None
    summary: Mapping[str, object] = {"dataset": dataset.info.to_dict(), "class_path": predictions.model}
    same = (e for e in inputs.evaluations if e.dataset == dataset.info.name)
    run = next((e.run for e in same if e.data.get("class_path") == predictions.model), None)
    family = predictions.folder.resolve().name
    return RunResult(predictions.folder, family, {}, summary, None if run is None else run.cases)


def _example(case: Case, dataset: Dataset, own: PredictedDistribution | None) -> Example:
    info = dataset.info
    structure = structure_of_interest(info.labels)
    place = worst_plane(case, info.labels, structure)
    masks, rated = case.stacked()

    def plane(array: np.ndarray) -> np.ndarray:
        return array if place is None else array[..., place, :, :]

    shape = case.geometry.shape[-2:]
    image: np.ndarray = np.zeros(shape, np.float32)
    if case.has_image:
        image = info.normalise(plane(case.image[0] if case.image.ndim > case.geometry.dimensions else case.image))
    nothing = np.zeros((info.labels.num_classes, *shape), np.float32)
    return Example(
        case.case_id,
        image,
        plane(masks),
        plane(rated),
        nothing if own is None else plane(own.mean),
        {name: np.zeros(shape, np.float32) if own is None else plane(own.maps[name]) for name in UNCERTAINTY_MAPS},
        np.zeros((0, *shape), np.uint8) if own is None else plane(own.readings)[:8],
        place,
        None if place is None else case.geometry.shape[0],
        tuple(case.masks) if info.stable_raters else (),
        structure,
        info.labels.membership(structure),
    )
