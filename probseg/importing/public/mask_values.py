"""The masks of a release: read onto their image's grid, their values counted, told and translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg import io
from probseg.case import Geometry, to_canonical
from probseg.errors import ProbsegError
from probseg.importing.found_values import FoundValues
from probseg.importing.masks import values_by_name
from probseg.importing.regions import named
from probseg.labels import LabelSet

__all__ = ["MaskValues"]


class MaskValues:
    """What the values of a layout's masks mean, and how often each was found.

    Args:
        labels: of the dataset to write.
        meaning: the label's name of each value that the layout has.
        given: what the user says of values, ``VALUE=NAME`` of ``--classes``; goes before ``meaning``.
        index_grid: whether masks lie on their image voxel by voxel, whatever their header says.

    Raises:
        ProbsegError: E_USAGE where a text of ``given`` is no pair or its value no number, E_UNKNOWN_LABEL where it
            names no label.
    """

    def __init__(
        self, labels: LabelSet, meaning: Mapping[int, str], given: Sequence[str] = (), index_grid: bool = False
    ) -> None:
        values = values_by_name(labels)
        said = dict(meaning)
        for text, name in named(given, "--classes").items():
            if not text.isdigit():
                raise ProbsegError("E_USAGE", f"--classes takes VALUE=NAME with a whole number, not '{text}={name}'")
            if name not in values:
                raise ProbsegError(
                    "E_UNKNOWN_LABEL", f"--classes names '{name}', but the labels are {', '.join(values)}"
                )
            said[int(text)] = name
        self.found = FoundValues(dict(sorted(said.items())))
        self._values = {value: values[name] for value, name in said.items()}
        self._index_grid = index_grid

    def read(self, path: Path, geometry: Geometry, stored: Geometry, what: str) -> NDArray[np.uint8]:
        """A mask in values of the label set, on the grid of its image.

        Args:
            path: NIfTI.
            geometry: of the image, canonical.
            stored: of the image, as its file has it.
            what: names the mask in errors.

        Raises:
            ProbsegError: the codes of `probseg.io.read_mask`, and E_UNKNOWN_LABEL.
        """
        return self.translated(self._on_grid(path, geometry, stored, what), f"{what} ('{path}')")

    def translated(self, mask: NDArray, what: str) -> NDArray[np.uint8]:
        """Values of the layout to those of the label set; they are counted.

        Raises:
            ProbsegError: E_UNKNOWN_LABEL for a value without meaning, with the option that gives it one.
        """
        if mask.size and not (mask.min() >= 0 and mask.max() <= 255):
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"{what} holds numbers from {mask.min():g} to {mask.max():g}, but its labels lie in 0..255; is it the "
                "image?",
            )
        try:
            whole = self.found.whole(mask, what)
        except ProbsegError as error:
            if error.code != "E_UNKNOWN_LABEL":
                raise
            raise ProbsegError(
                error.code, f"{error.message}; say what it means with --classes VALUE=NAME, or correct the mask"
            ) from error
        table = np.zeros(256, dtype=np.uint8)
        for value, label in self._values.items():
            if value < 256:
                table[value] = label
        return table[whole]

    def lines(self) -> Iterable[str]:
        """What was found, a line for each value."""
        return self.found.lines()

    def _on_grid(self, path: Path, geometry: Geometry, stored: Geometry, what: str) -> NDArray:
        if self._index_grid:
            from probseg.io import nifti

            mask = nifti.read_voxels(path)
            if mask.shape != stored.shape:
                raise ProbsegError(
                    "E_SHAPE_MISMATCH",
                    f"{what} ('{path}') has the voxels {mask.shape}, its image {stored.shape}; --index-grid is for "
                    "masks of equal shape",
                )
            return to_canonical(mask, stored)[0]
        try:
            return io.read_mask(path, geometry, what)
        except ProbsegError as error:
            if error.code != "E_AFFINE_MISMATCH":
                raise
            raise ProbsegError(
                error.code, f"{error.message}, or add --index-grid where only its header is wrong"
            ) from error
