"""The same few patches of every image, for validation where a whole image is too much for one call of the network."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset as TorchDataset

from probseg.batch import Example
from probseg.data.examples import Examples
from probseg.data.keyed import key, seeded

__all__ = ["FixedPatches"]


class FixedPatches(TorchDataset[Example]):
    """Patches whose places depend on the image's number and their own, and are the same at every call.

    Args:
        examples: whole images.
        crop: size along each axis of space.
        count: patches an image.
        foreground: share of them that is placed on what some rater drew.
    """

    one_shape = True

    def __init__(self, examples: Examples, crop: Sequence[int], count: int, foreground: float) -> None:
        self.examples = examples
        self.crop = tuple(crop)
        self.count = count
        self.foreground = foreground

    def __len__(self) -> int:
        return len(self.examples) * self.count

    def __getitem__(self, index: int) -> Example:
        """Patch ``index % count`` of image ``index // count``; random numbers go on afterwards as if unused."""
        with seeded(key(index)):
            return self.examples.patch(index // self.count, self.crop, self.foreground)
