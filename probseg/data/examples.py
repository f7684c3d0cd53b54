"""Cases as training examples: whole images, slices of volumes, or patches of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from probseg.batch import Example
from probseg.case import Case
from probseg.data.transforms import Transform
from probseg.errors import ProbsegError
from probseg.records import Dataset, DatasetInfo

__all__ = ["Examples", "random_patch"]


class Examples(TorchDataset[Example]):
    """Every case (or every slice of every case) of a dataset as an `Example`, kept in memory once read.

    Args:
        dataset: the cases.
        patients: numbers of all patients of the data, so that every split counts alike.
        slices: whether volumes are taken slice by slice.
        crop: size of a random patch, None for the whole image.
        foreground: share of the patches that are placed on a voxel that some rater drew.
        transforms: applied in order after cropping.

    Attributes:
        patient_ids: number of a patient to its name.
    """

    def __init__(
        self,
        dataset: Dataset,
        patients: dict[str, int],
        slices: bool = False,
        crop: Sequence[int] | None = None,
        foreground: float = 0.5,
        transforms: Sequence[Transform] = (),
    ) -> None:
        if slices and dataset.info.dimensions == 2:
            raise ProbsegError("E_SCHEMA", f"data.slices is for volumes, but dataset '{dataset.info.name}' has images")
        self.crop = tuple(crop) if crop else None
        self.foreground = foreground
        self.transforms = tuple(transforms)
        self.patient_ids = {number: name for name, number in patients.items()}
        self._examples: list[Example] = []
        for record in dataset.records:
            for example in _examples_of(dataset.load(record), dataset.info, slices):
                self._examples.append(replace(example, index=len(self._examples), patient=patients[record.patient_id]))

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def one_shape(self) -> bool:
        """Whether all images have one shape, so that several fit in a batch."""
        return self.crop is not None or len({e.image.shape for e in self._examples}) == 1

    def __getitem__(self, index: int) -> Example:
        """One example, cropped and changed where asked."""
        example = self._examples[index]
        if self.crop is not None:
            example = random_patch(example, self.crop, self.foreground)
        for transform in self.transforms:
            example = transform(example)
        return example


def _examples_of(case: Case, info: DatasetInfo, slices: bool) -> list[Example]:
    image = torch.from_numpy(info.normalise(case.image))
    image = image if image.ndim > case.geometry.dimensions else image.unsqueeze(0)
    stacked, looked = case.stacked()
    masks, rated = torch.from_numpy(stacked), torch.from_numpy(looked)
    spacing = torch.tensor(case.geometry.spacing or (float("nan"),) * case.geometry.dimensions)
    if not slices:
        return [Example(image, masks, rated, 0, 0, case.case_id, case.site, spacing)]
    return [
        Example(image[:, k], masks[:, k], rated[:, k], 0, 0, f"{case.case_id}/{k}", case.site, spacing[1:])
        for k in range(case.geometry.shape[0])
        if looked[:, k].any()
    ]


def random_patch(example: Example, crop: Sequence[int], foreground: float) -> Example:
    """A patch of size ``crop`` at a random place; smaller images are padded, and the padding is not rated.

    Args:
        example: the whole image.
        crop: size along each axis of space.
        foreground: probability of placing the patch on a random voxel that some rater drew, if any did.
    """
    space = example.image.shape[1:]
    if len(crop) != len(space):
        raise ProbsegError("E_SCHEMA", f"data.crop must have {len(space)} numbers, but is {list(crop)}")
    short = [max(0, c - n) for c, n in zip(crop, space, strict=True)]
    if any(short):
        pads = [amount for pad in reversed(short) for amount in (0, pad)]
        pad = torch.nn.functional.pad
        example = replace(
            example, image=pad(example.image, pads), masks=pad(example.masks, pads), rated=pad(example.rated, pads)
        )
        space = example.image.shape[1:]
    starts = [int(torch.randint(0, n - c + 1, ())) for c, n in zip(crop, space, strict=True)]
    if float(torch.rand(())) < foreground:
        drawn = np.flatnonzero(((example.masks > 0) & example.rated).any(dim=0).numpy())
        if len(drawn):
            centre = np.unravel_index(drawn[int(torch.randint(0, len(drawn), ()))], space)
            offsets = [int(torch.randint(0, c, ())) for c in crop]
            starts = [int(np.clip(p - o, 0, n - c)) for p, o, n, c in zip(centre, offsets, space, crop, strict=True)]
    window = (slice(None), *(slice(s, s + c) for s, c in zip(starts, crop, strict=True)))

    def cut(x: Tensor) -> Tensor:
        return x[window]

    return replace(example, image=cut(example.image), masks=cut(example.masks), rated=cut(example.rated))
