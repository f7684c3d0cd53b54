"""Cases as training examples: whole images, slices of volumes, or patches of either."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset as TorchDataset

from probseg.batch import Example
from probseg.data.sources import Entry, ExampleSource, InMemory, InStore
from probseg.data.transforms import Transform
from probseg.data.virtual_raters import VirtualRater
from probseg.errors import ProbsegError
from probseg.records import Dataset
from probseg.store import Store

__all__ = ["Examples"]


class Examples(TorchDataset[Example]):
    """Every case (or every slice of every case) of a dataset as an `Example`.

    Args:
        dataset: the cases.
        patients: numbers of all patients of the data, so that every split counts alike.
        slices: whether volumes are taken slice by slice.
        crop: size of a random patch, None for the whole image.
        foreground: share of the patches that are placed on a voxel that some rater drew.
        transforms: applied in order after cropping.
        store: where examples are read from, one by one; None reads all cases at once and keeps them in memory.
        virtual: virtual raters of each case; see `probseg.data.virtual_raters`.
        by_class: the patches on what raters drew are placed on each label that a case has equally often, so that the
            rare ones are seen.

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
        store: Store | None = None,
        virtual: Sequence[VirtualRater] = (),
        by_class: bool = False,
    ) -> None:
        if slices and dataset.info.dimensions == 2:
            raise ProbsegError("E_SCHEMA", f"data.slices is for volumes, but dataset '{dataset.info.name}' has images")
        self.crop = tuple(crop) if crop else None
        self.foreground = foreground
        self.transforms = tuple(transforms)
        self.patient_ids = {number: name for name, number in patients.items()}
        self._source: ExampleSource = (
            InMemory(dataset, patients, slices, virtual, by_class)
            if store is None
            else InStore(store, dataset, patients, slices, virtual, by_class)
        )

    def __len__(self) -> int:
        return len(self._source.entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is known of each example without reading it."""
        return self._source.entries

    @property
    def one_shape(self) -> bool:
        """Whether all images have one shape, so that several fit in a batch."""
        return self.crop is not None or len({e.shape for e in self.entries}) == 1

    def __getitem__(self, index: int) -> Example:
        """One example, cropped and changed where asked."""
        example = self._source.whole(index) if self.crop is None else self.patch(index, self.crop, self.foreground)
        for transform in self.transforms:
            example = transform(example)
        return example

    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """A random patch of one example, not changed otherwise; see `probseg.data.patches.random_patch`."""
        return self._source.patch(index, crop, foreground)
