"""The bridge from cases to tensors: several cases of several raters each, padded to one shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from probseg.errors import ProbsegError

__all__ = ["NOBODY", "Batch", "Example", "collate"]

NOBODY = -1
"""The number of a rater who is absent, or of whom the data set does not say who it is."""


@dataclass(frozen=True)
class Example:
    """One image (or one slice, or one patch) of a case with all its raters' masks.

    Attributes:
        image: ``(channels, *space)`` float32, normalised to 0..1.
        masks: ``(raters, *space)`` uint8, dense labels. The last of them may be of virtual raters: a fusion of the
            others, which moves with them through every transform and leaves them in `collate`.
        rated: ``(raters, *space)`` bool, what each rater looked at.
        index: position of this example in its data set; tells repeated examples apart from distinct ones.
        patient: number of the patient, the unit of every bootstrap.
        case_id, site: names for tables.
        spacing_mm: ``(axes of space,)``, NaN where unknown.
        rater: who drew each mask, the position in `probseg.records.DatasetInfo.raters`; `NOBODY` where that is not
            known. Empty where nothing is known of anybody; virtual raters have no entry.
        workload: of how many examples of this data set each of these raters rated something, repeated readings counted
            apart; 0 where not known.
        virtual: names of the virtual raters, whose masks come last.
        scan: number of the scan that this example is a slice of; negative where it is the whole of one.
        voxel_ml: volume of a voxel, mL; of a slice, that of the scan's voxels. NaN where unknown.
    """

    image: Tensor
    masks: Tensor
    rated: Tensor
    index: int
    patient: int
    case_id: str
    site: str
    spacing_mm: Tensor
    rater: tuple[int, ...] = ()
    workload: tuple[int, ...] = ()
    virtual: tuple[str, ...] = ()
    scan: int = -1
    voxel_ml: float = math.nan

    @property
    def num_raters(self) -> int:
        """How many of the masks are of raters and not virtual."""
        return len(self.masks) - len(self.virtual)


def _nothing() -> Tensor:
    return torch.zeros(0, 0, dtype=torch.int64)


@dataclass(frozen=True)
class Batch:
    """Examples stacked along a batch axis; raters that a case lacks are padded and not rated.

    Attributes:
        image: ``(batch, channels, *space)`` float32.
        masks: ``(batch, raters, *space)`` uint8, dense labels; 0 where not rated.
        rated: ``(batch, raters, *space)`` bool.
        index, patient: ``(batch,)`` int64, see `Example`.
        spacing_mm: ``(batch, axes of space)``, NaN where unknown.
        case_ids, sites: ``batch`` names.
        rater: ``(batch, raters)`` int64: who drew the mask, the position in `probseg.records.DatasetInfo.raters`;
            `NOBODY` where the rater is absent or not known. All `NOBODY` where it is not given.
        workload: ``(batch, raters)`` int64: of how many examples of the data set this rater rated something; 0 where
            not known.
        virtual_masks, virtual_rated: ``(batch, virtual raters, *space)``, as ``masks`` and ``rated``. No metric and no
            target that is of raters sees them.
        virtual: names of the virtual raters.
        scan: ``(batch,)`` int64: examples of one number are slices of one scan; ``index`` where it is not given.
        voxel_ml: ``(batch,)`` float32: volume of a voxel, mL, NaN where unknown.
    """

    image: Tensor
    masks: Tensor
    rated: Tensor
    index: Tensor
    patient: Tensor
    spacing_mm: Tensor
    case_ids: tuple[str, ...]
    sites: tuple[str, ...]
    rater: Tensor = field(default_factory=_nothing)
    workload: Tensor = field(default_factory=_nothing)
    virtual_masks: Tensor = field(default_factory=_nothing)
    virtual_rated: Tensor = field(default_factory=_nothing)
    virtual: tuple[str, ...] = ()
    scan: Tensor = field(default_factory=_nothing)
    voxel_ml: Tensor = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        if self.scan.numel() == 0:
            object.__setattr__(self, "scan", self.index)
        if self.voxel_ml.numel() == 0:
            object.__setattr__(self, "voxel_ml", torch.full(self.index.shape, math.nan, device=self.index.device))
        for name, absent in (("rater", NOBODY), ("workload", 0)):
            if getattr(self, name).numel() == 0:
                value = torch.full(self.masks.shape[:2], absent, dtype=torch.int64, device=self.masks.device)
                object.__setattr__(self, name, value)
        if not self.virtual:
            object.__setattr__(self, "virtual_masks", self.masks[:, :0])
            object.__setattr__(self, "virtual_rated", self.rated[:, :0])

    def __len__(self) -> int:
        return len(self.case_ids)

    def _map(self, name: str, *args: Any, **kwargs: Any) -> Batch:
        moved = {k: getattr(v, name)(*args, **kwargs) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def one(self, k: int) -> Batch:
        """Its example k as a batch of its own."""
        part = slice(k, k + 1)
        tensors: dict[str, Any] = {n: v[part] for n, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors, case_ids=self.case_ids[part], sites=self.sites[part])

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """The same batch on another device, as `torch.Tensor.to` (Lightning calls this)."""
        return self._map("to", *args, **kwargs)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (the loader calls this)."""
        return self._map("pin_memory")


def collate(examples: Sequence[Example]) -> Batch:
    """Stack examples of one shape; the number of raters may differ, virtual raters may not.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH when images differ in shape; a crop in the data config makes them equal.
    """
    shapes = {tuple(e.image.shape) for e in examples}
    if len(shapes) > 1:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"images of one batch must have one shape, not {sorted(shapes)}; set data.crop"
        )
    virtual = {e.virtual for e in examples}
    if len(virtual) > 1:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"examples of one batch must have the same virtual raters, not {sorted(virtual)}"
        )
    raters = max(e.num_raters for e in examples)
    slots = [(e.masks[: e.num_raters], e.rated[: e.num_raters]) for e in examples]
    fused = [(e.masks[e.num_raters :], e.rated[e.num_raters :]) for e in examples]
    masks, rated = _padded(slots, raters)
    names = virtual.pop()
    virtual_masks, virtual_rated = _padded(fused, len(names))
    return Batch(
        torch.stack([e.image for e in examples]),
        masks,
        rated,
        torch.tensor([e.index for e in examples]),
        torch.tensor([e.patient for e in examples]),
        torch.stack([e.spacing_mm for e in examples]),
        tuple(e.case_id for e in examples),
        tuple(e.site for e in examples),
        torch.tensor([[*e.rater, *(NOBODY,) * (raters - len(e.rater))] for e in examples], dtype=torch.int64),
        torch.tensor([[*e.workload, *(0,) * (raters - len(e.workload))] for e in examples], dtype=torch.int64),
        virtual_masks,
        virtual_rated,
        names,
        torch.tensor([e.index if e.scan < 0 else e.scan for e in examples]),
        torch.tensor([e.voxel_ml for e in examples], dtype=torch.float32),
    )


def _padded(slots: Sequence[tuple[Tensor, Tensor]], raters: int) -> tuple[Tensor, Tensor]:
    """Masks and rated of all examples, ``(batch, raters, *space)``; 0 where not rated."""
    space = slots[0][0].shape[1:]
    masks = torch.zeros((len(slots), raters, *space), dtype=torch.uint8)
    rated = torch.zeros((len(slots), raters, *space), dtype=torch.bool)
    for k, (drawn, looked) in enumerate(slots):
        masks[k, : len(drawn)] = drawn
        rated[k, : len(looked)] = looked
    masks[~rated] = 0
    return masks, rated
