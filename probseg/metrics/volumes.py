"""Volumes of whole scans: slices of one scan add up before any figure is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from probseg.analysis.additive import Figure, ratio_of
from probseg.analysis.bootstrap import Interval
from probseg.analysis.known import mean_known
from probseg.analysis.overlap import Counts, iou
from probseg.analysis.volume_scores import (
    HEADLINE_FIGURES,
    CaseVolumes,
    VolumeFigure,
    case_statistics,
    columns,
    figures_of_statistics,
)
from probseg.analysis.volume_structures import VolumeStructures
from probseg.distribution import SegmentationDistribution
from probseg.labels import LabelSet
from probseg.metrics.base import CaseMetric

__all__ = ["VolumeScores"]

_SCAN, _PATIENT, _INDEX, _DRAWS, _RATERS, _VOXEL_ML = range(6)
_OVERLAP = 3  # voxels in both, in the prediction and in the mask


class VolumeScores(CaseMetric):
    """`HEADLINE_FIGURES` of a label set's headline structure, and `by_structure` of every class and group.

    A case is a scan: what each draw and each rater finds in its slices is added first, so that the figures are the same
    whether a scan came slice by slice, in any order and over several processes, or whole. Only what was looked at by
    somebody is given as slices; a rater who did not look at all of it has no volume there. Definitions in
    `probseg.analysis.volume_scores`.

    Args:
        labels: the label set; its headline structure is ``opacity``, else all foreground.
    """

    slices: list[Tensor]
    found: list[Tensor]

    def __init__(self, labels: LabelSet, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.structures = VolumeStructures.of(labels)
        # Six numbers a slice, and what each draw and rater finds in it end to end, since cases differ in raters.
        self.add_state("slices", default=[], dist_reduce_fx="cat")
        self.add_state("found", default=[], dist_reduce_fx="cat")
        self._unnamed = 0

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The figures of the headline structure."""
        start = len(columns(self.structures.names)) - len(HEADLINE_FIGURES)
        return {name: ratio_of(2 * (start + k)) for k, name in enumerate(HEADLINE_FIGURES)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Of a batch whose examples are whole scans of voxels of unknown size; NaN where undefined."""
        whole = VolumeScores(self.structures.labels)
        whole.update(distribution, masks, rated, torch.arange(len(masks)))
        return whole.cases()[2]

    def update(
        self,
        distribution: SegmentationDistribution,
        masks: Tensor,
        rated: Tensor,
        index: Tensor | None = None,
        patient: Tensor | None = None,
        spacing_mm: Tensor | None = None,
        scan: Tensor | None = None,
        voxel_ml: Tensor | None = None,
    ) -> None:
        """Add slices or whole scans, see `CaseMetric.update`.

        Args:
            distribution: the prediction.
            masks: ``(batch, raters, *space)`` dense labels.
            rated: the same shape, bool.
            index: ``(batch,)`` which slice it is; None takes every one as a new one.
            patient: ``(batch,)`` number of the patient; None takes every scan as a patient.
            spacing_mm: not looked at.
            scan: ``(batch,)`` number of the scan of each slice; None takes each for a whole scan.
            voxel_ml: ``(batch,)`` volume of a voxel; None where unknown.
        """
        expected = distribution.probs.flatten(4).sum(dim=4).flatten(0, 1).double().cpu().numpy()  # (draws, batch, C)
        mode, drawn, looked = (x.cpu().numpy() for x in (distribution.mode, masks, rated))
        batch, draws, raters = len(drawn), len(expected), drawn.shape[1]
        numbers = self._new(batch) if index is None else index.cpu().double()
        columns_of = [numbers if given is None else given.cpu().double() for given in (scan, patient)]
        counts = [torch.full((batch,), float(n), dtype=torch.float64) for n in (draws, raters)]
        voxel = torch.full((batch,), math.nan, dtype=torch.float64) if voxel_ml is None else voxel_ml.cpu().double()
        self.slices.append(torch.stack([*columns_of, numbers, *counts, voxel], dim=1).to(self.device))
        parts = [self._found(expected[:, k], mode[k], drawn[k], looked[k]) for k in range(batch)]
        self.found.append(torch.from_numpy(np.concatenate(parts)).to(self.device))

    def _new(self, count: int) -> Tensor:
        """Numbers that no slice of any process has yet; negative, so that no data set gives them."""
        ranks = (0, 1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        first, self._unnamed = self._unnamed, self._unnamed + count
        return -1.0 - ranks[0] - ranks[1] * torch.arange(first, first + count, dtype=torch.float64)

    def _found(
        self, expected: NDArray[np.float64], mode: NDArray, masks: NDArray, rated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Of one slice end to end: voxels of each draw's structures, of each rater's, and the overlap with each."""
        overlap = np.stack(self.structures.headline_overlap(mode, masks, rated), axis=1)
        parts = (self.structures.of_draws(expected), self.structures.of_raters(masks, rated, 1.0), overlap)
        return np.concatenate([part.ravel() for part in parts])

    def cases(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """First slice's index, patient and statistics of every scan, ``(n,)``, ``(n,)``, ``(n, k)``; NaN undefined."""
        if not len(self.slices):
            return super().cases()
        _, first, patient, table = self._scans()
        return first, patient, table

    def _scans(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Number, index of the first slice, patient and statistics of every scan."""
        slices, found = (dim_zero_cat(cast(Any, state)).cpu().numpy() for state in (self.slices, self.found))
        names = self.structures.names
        lengths = (slices[:, _DRAWS] * len(names) + slices[:, _RATERS] * (len(names) + _OVERLAP)).astype(np.int64)
        ends = np.cumsum(lengths)
        # Once a slice, for a sampler repeats some to fill up; in order, so that sums are the same to the last bit.
        _, kept = np.unique(slices[:, _INDEX], return_index=True)
        scans, which = np.unique(slices[kept, _SCAN], return_inverse=True)
        table = []
        for k in range(len(scans)):
            own = kept[which == k]
            parts = [found[ends[j] - lengths[j] : ends[j]] for j in own]
            table.append(self._statistics(parts, int(slices[own[0], _DRAWS]), float(slices[own[0], _VOXEL_ML])))
        first = kept[np.unique(which, return_index=True)[1]]
        numbers = (column.astype(np.int64) for column in (scans, *slices[first][:, [_INDEX, _PATIENT]].T))
        return *numbers, np.stack(table)

    def _statistics(self, parts: list[NDArray[np.float64]], draws: int, voxel_ml: float) -> NDArray[np.float64]:
        """``(k,)`` of what draws and raters find in the slices of one scan."""
        width, unit = len(self.structures.names), voxel_ml if math.isfinite(voxel_ml) else 1.0
        cut = draws * width
        predicted = np.sum([part[:cut] for part in parts], axis=0).reshape(draws, width)
        # Where a batch padded raters, the slots that only some slices have are of nobody.
        raters = max((len(part) - cut) // (width + _OVERLAP) for part in parts)
        observed, overlap = np.zeros((raters, width)), np.zeros((raters, _OVERLAP))
        for part in parts:
            own = (len(part) - cut) // (width + _OVERLAP)
            observed[:own] += part[cut : cut + own * width].reshape(own, width)
            observed[own:] = np.nan
            overlap[:own] += part[cut + own * width :].reshape(own, _OVERLAP)
        case = CaseVolumes(predicted * unit, observed * unit, voxel_ml, iou(Counts(*overlap.T)))
        return case_statistics(case).ravel()

    def pool(self, group: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        """Replace scans that ``group`` maps to the same number by one with the mean of what is defined of them."""
        scans, first, patient, table = self._scans()
        names = group(scans)
        kept, start = np.unique(names, return_index=True)
        pooled = np.stack([mean_known(table[names == name]) for name in kept])
        self.slices, self.found = [], []
        self.index, self.patient = [torch.from_numpy(group(first[start]))], [torch.from_numpy(patient[start])]
        self.sums = [torch.from_numpy(pooled)]

    def compute(self) -> dict[str, Tensor]:
        """Every figure of the headline over all scans, float64; NaN where nothing counted."""
        _, _, table = self.cases()
        sums = np.nan_to_num(table).sum(axis=0) if len(table) else np.zeros(2 * len(columns(self.structures.names)))
        return {name: torch.as_tensor(np.float64(f(sums))) for name, f in self.figures.items()}

    def by_structure(
        self, samples: int = 1000, seed: int = 0, only: NDArray[np.int64] | None = None
    ) -> list[VolumeFigure]:
        """Every figure of every structure with its interval over patients, see `volume_figures`.

        Args:
            samples: how many times patients are drawn.
            seed: of the draws.
            only: indices of the slices or scans that count; None for all.
        """
        index, patients, table = self.cases()
        kept = np.ones(len(index), dtype=bool) if only is None else np.isin(index, only)
        shape = (int(kept.sum()), len(columns(self.structures.names)), 2)
        return figures_of_statistics(
            table[kept].reshape(shape) if len(table) else np.zeros(shape),
            self.structures.names,
            patients[kept],
            samples=samples,
            seed=seed,
        )

    def intervals(
        self, samples: int = 1000, seed: int = 0, only: NDArray[np.int64] | None = None
    ) -> dict[str, Interval]:
        """The figures of the headline; ``n`` counts the scans where they are defined."""
        return {f.metric: f.interval for f in self.by_structure(samples, seed, only) if not f.structure}
