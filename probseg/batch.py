"""The bridge from cases to tensors: several cases of several raters each, padded to one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from probseg.errors import ProbsegError

__all__ = ["Batch", "Example", "collate"]


@dataclass(frozen=True)
class Example:
    """One image (or one slice, or one patch) of a case with all its raters' masks.

    Attributes:
        image: ``(channels, *space)`` float32, normalised to 0..1.
        masks: ``(raters, *space)`` uint8, dense labels.
        rated: ``(raters, *space)`` bool, what each rater looked at.
        index: position of this example in its data set; tells repeated examples apart from distinct ones.
        patient: number of the patient, the unit of every bootstrap.
        case_id, site: names for tables.
        spacing_mm: ``(axes of space,)``, NaN where unknown.
    """

    image: Tensor
    masks: Tensor
    rated: Tensor
    index: int
    patient: int
    case_id: str
    site: str
    spacing_mm: Tensor


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
    """

    image: Tensor
    masks: Tensor
    rated: Tensor
    index: Tensor
    patient: Tensor
    spacing_mm: Tensor
    case_ids: tuple[str, ...]
    sites: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.case_ids)

    def _map(self, name: str, *args: Any, **kwargs: Any) -> Batch:
        moved = {k: getattr(v, name)(*args, **kwargs) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """The same batch on another device, as `torch.Tensor.to` (Lightning calls this)."""
        return self._map("to", *args, **kwargs)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (the loader calls this)."""
        return self._map("pin_memory")


def collate(examples: Sequence[Example]) -> Batch:
    """Stack examples of one shape; the number of raters may differ.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH when images differ in shape; a crop in the data config makes them equal.
    """
    shapes = {tuple(e.image.shape) for e in examples}
    if len(shapes) > 1:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"images of one batch must have one shape, not {sorted(shapes)}; set data.crop"
        )
    raters = max(len(e.masks) for e in examples)
    space = examples[0].image.shape[1:]
    masks = torch.zeros((len(examples), raters, *space), dtype=torch.uint8)
    rated = torch.zeros((len(examples), raters, *space), dtype=torch.bool)
    for k, example in enumerate(examples):
        masks[k, : len(example.masks)] = example.masks
        rated[k, : len(example.rated)] = example.rated
    masks[~rated] = 0
    return Batch(
        torch.stack([e.image for e in examples]),
        masks,
        rated,
        torch.tensor([e.index for e in examples]),
        torch.tensor([e.patient for e in examples]),
        torch.stack([e.spacing_mm for e in examples]),
        tuple(e.case_id for e in examples),
        tuple(e.site for e in examples),
    )
