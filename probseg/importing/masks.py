"""The masks of several raters in whatever files: found by pattern, read, merged, put on the image's grid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg import io
from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.importing import patterns
from probseg.importing.resample import resample_labels
from probseg.io.flat import is_flat_name
from probseg.io.guard import is_nifti_name, is_nrrd_name
from probseg.io.segmentations import label_map, read_segments
from probseg.labels import LabelSet

__all__ = ["MaskFile", "MaskReader", "MaskSource", "values_by_name"]

KNOWN = ("case", "patient", "series")
_ALL = (*KNOWN, "rater", "class")


@dataclass(frozen=True)
class MaskSource:
    """One ``--masks`` argument, ``[RATER[:CLASS]=]PATTERN``.

    Attributes:
        pattern: of the files.
        rater: name; None where the pattern says it with ``{rater}``.
        class_name: the class that every voxel above 0 has; None where the file tells classes apart.
    """

    pattern: str
    rater: str | None
    class_name: str | None

    @classmethod
    def parse(cls, text: str) -> MaskSource:
        """E_USAGE where a rater is not named, or named twice."""
        name, sign, pattern = text.partition("=")
        if not sign:
            name, pattern = "", text
        rater, _, class_name = name.partition(":")
        found = patterns.placeholders(pattern, _ALL, "--masks")
        if bool(rater) == ("rater" in found) or not pattern:
            raise ProbsegError(
                "E_USAGE", "--masks takes NAME=PATTERN, NAME:CLASS=PATTERN, or a pattern with {rater} in it"
            )
        if class_name and "class" in found:
            raise ProbsegError("E_USAGE", f"--masks names a class twice, as '{class_name}' and as {{class}}")
        return cls(pattern, rater or None, class_name or None)


@dataclass(frozen=True)
class MaskFile:
    """A file of one rater of one case; with ``class_name`` it shows that class only."""

    path: Path
    rater: str
    class_name: str | None


def find_masks(sources: Sequence[MaskSource], known: Mapping[str, str]) -> dict[str, list[MaskFile]]:
    """The files of one case by rater, in the order of the arguments.

    Raises:
        ProbsegError: E_DUPLICATE_RATER where one argument means several files of one rater.
    """
    found: dict[str, list[MaskFile]] = {}
    for source in sources:
        own: dict[tuple[str, str | None], Path] = {}
        for path, said in patterns.find(source.pattern, known):
            key = (source.rater or said["rater"], source.class_name or said.get("class"))
            if key in own:
                raise ProbsegError(
                    "E_DUPLICATE_RATER",
                    f"'{own[key]}' and '{path}' both are the mask of rater '{key[0]}' of case '{known['case']}'; make "
                    "the pattern of --masks narrower",
                )
            own[key] = path
            found.setdefault(key[0], []).append(MaskFile(path, *key))
    return found


def values_by_name(labels: LabelSet) -> dict[str, int]:
    """The file value of each class, each group that has one, and ``unknown``."""
    values = {c.name: c.value for c in labels.classes}
    values |= {g.name: g.value for g in labels.groups if g.value is not None}
    return values | ({} if labels.unknown is None else {"unknown": labels.unknown})


class MaskReader:
    """Reads the files of one rater of one case into one mask of file values.

    Args:
        labels: what values mean.
        renamed: segment names, or values as text, to names of ``labels``.
        resample: whether a label map on another grid is resampled; it is refused otherwise.
    """

    def __init__(self, labels: LabelSet, renamed: Mapping[str, str], resample: bool) -> None:
        self.values = values_by_name(labels)
        self.resample = resample
        unknown = sorted({name for name in renamed.values() if name not in self.values})
        if unknown:
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"--label names '{unknown[0]}', which the label set does not declare with a value; it has "
                f"{', '.join(self.values)}",
            )
        self.named = self.values | {given: self.values[name] for given, name in renamed.items()}
        self.numbers = {int(k): self.values[v] for k, v in renamed.items() if k.lstrip("-").isdigit()}

    def read(self, files: Sequence[MaskFile], geometry: Geometry, what: str) -> tuple[NDArray, str]:
        """The mask on the grid of the image, and a note of what was done to it.

        Where files of single classes overlap the later one counts, with W_OVERLAP.
        """
        merged: NDArray | None = None
        notes: list[str] = []
        for file in files:
            mask, note = self._one(file, geometry, what)
            notes += [note] if note else []
            if merged is None:
                merged = mask
                continue
            hidden = int(((merged != 0) & (mask != 0) & (merged != mask)).sum())
            if hidden:
                warn("W_OVERLAP", f"files of {what} overlap in {hidden} voxels, where '{file.path.name}' counts")
            merged = np.where(mask != 0, mask, merged)
        assert merged is not None  # a rater without a file is no rater of the case
        return merged, "; ".join(dict.fromkeys(notes))

    def _one(self, file: MaskFile, geometry: Geometry, what: str) -> tuple[NDArray, str]:
        only = None if file.class_name is None else self._value(file.class_name)
        if _has_segments(file.path):
            segments = read_segments(file.path, geometry)
            if only is not None:
                drawn = [s.mask for s in segments]
                empty = np.zeros(geometry.shape, dtype=bool)
                return np.where(np.logical_or.reduce([empty, *drawn]), only, 0), ""
            if not segments:
                return np.zeros(geometry.shape, dtype=np.uint8), ""
            return label_map(segments, self.named, what), ""
        mask, note = self._label_map(file.path, geometry, what)
        if only is not None:
            return np.where(mask != 0, only, 0), note
        return self._renumbered(mask), note

    def _value(self, class_name: str) -> int:
        if class_name not in self.named:
            raise ProbsegError(
                "E_UNKNOWN_LABEL", f"no label is called '{class_name}'; there are {', '.join(self.values)}"
            )
        return self.named[class_name]

    def _label_map(self, path: Path, geometry: Geometry, what: str) -> tuple[NDArray, str]:
        try:
            return io.read_mask(path, geometry, what), ""
        except ProbsegError as error:
            if error.code not in ("E_SHAPE_MISMATCH", "E_AFFINE_MISMATCH"):
                raise
            if not self.resample or geometry.dimensions != 3:
                remedy = re.sub(r"resample (the mask|it) to the image grid first", "add --resample", error.message)
                raise ProbsegError(error.code, remedy) from error
        mask, grid, _ = io.read_image(path)
        if mask.dtype.kind == "f":
            raise ProbsegError("E_UNKNOWN_LABEL", f"{what} ('{path}') must hold whole numbers, but has fractions")
        spacing = " x ".join(f"{s:.4g}" for s in grid.spacing or ())
        return resample_labels(mask, grid, geometry, what), f"resampled from {grid.shape} voxels of {spacing} mm"

    def _renumbered(self, mask: NDArray) -> NDArray:
        if not self.numbers:
            return mask
        out = mask.astype(np.int64) if mask.dtype.kind in "iub" else mask.copy()
        for given, value in self.numbers.items():
            out[mask == given] = value
        return out


def _has_segments(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(".seg.nrrd") or not (is_nifti_name(path) or is_nrrd_name(path) or is_flat_name(path))
