"""An NPZ stack: many small 2-D images with several masks each, in one file.

Arrays: ``image`` (n, rows, columns); ``masks`` (n, raters, rows, columns) of file values, or bit-packed along the
columns by `numpy.packbits` when binary. Optional: ``patient``, ``case``, ``site``, ``split``, ``nodule``, ``slice``
(n,), ``annotator`` or ``rater`` (raters,), ``pixel_spacing_mm``, ``slice_thickness_mm`` (n,).
"""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case, Geometry, Source
from probseg.errors import ProbsegError
from probseg.io.guard import ZIP_FAULTS, check_size, file_size
from probseg.labels import LabelSet
from probseg.records import CaseRecord, DatasetInfo, Reading, check_case_id

__all__ = ["Stack"]

_PER_CASE = frozenset(("patient", "case", "site", "split", "nodule", "slice", "pixel_spacing_mm", "slice_thickness_mm"))


class Stack:
    """The cases of an NPZ stack; arrays are read once, when first needed.

    Raises:
        ProbsegError: E_PARSE when the file is no NPZ, E_SCHEMA when its arrays do not fit each other, the codes of
            `probseg.io.guard`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file_size(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = {m.filename.removesuffix(".npy"): m.file_size for m in archive.infolist()}
        except ZIP_FAULTS as error:
            raise ProbsegError(
                "E_PARSE", f"'{self.path}' is not a readable NPZ file; write it with numpy.savez"
            ) from error
        for size in members.values():
            check_size(self.path, size)
        names = set(members)
        if not {"image", "masks"} <= names:
            raise ProbsegError("E_SCHEMA", f"'{self.path}' must hold the arrays 'image' and 'masks'")
        self._arrays = {name: self._read(name) for name in sorted(names - {"image", "masks"})}

    def _read(self, name: str) -> NDArray:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return archive[name]
        except (*ZIP_FAULTS, MemoryError) as error:
            raise ProbsegError(
                "E_PARSE", f"the array '{name}' in '{self.path}' cannot be read; write it anew"
            ) from error

    @cached_property
    def image(self) -> NDArray:
        """``(n, rows, columns)``."""
        image = self._read("image")
        if image.ndim != 3:
            raise ProbsegError("E_SCHEMA", f"image in '{self.path}' must be (n, rows, columns), but is {image.shape}")
        for name in _PER_CASE & set(self._arrays):
            if self._arrays[name].shape != image.shape[:1]:
                raise ProbsegError(
                    "E_SCHEMA",
                    f"{name} in '{self.path}' must have one entry an image, {image.shape[:1]}, but has "
                    f"{self._arrays[name].shape}",
                )
        return image

    @cached_property
    def masks(self) -> NDArray:
        """``(n, raters, rows, columns)`` of file values."""
        image, masks = self.image, self._read("masks")
        rows, columns = image.shape[1:]
        if masks.ndim != 4 or masks.shape[0] != len(image) or masks.shape[2] != rows:
            raise ProbsegError("E_SCHEMA", f"masks {masks.shape} in '{self.path}' do not fit images {image.shape}")
        if masks.shape[3] == columns:
            return masks
        if masks.dtype != np.uint8 or masks.shape[3] != (columns + 7) // 8:
            raise ProbsegError("E_SCHEMA", f"masks {masks.shape} in '{self.path}' do not fit images {image.shape}")
        return np.unpackbits(masks, axis=-1, count=columns)

    @cached_property
    def raters(self) -> tuple[str, ...]:
        """Names of the mask slots; ``reading-1`` and so on where the file names nobody."""
        names = self._arrays.get("annotator", self._arrays.get("rater"))
        if names is not None:
            raters = tuple(str(n) for n in names)
            if len(raters) != self.masks.shape[1]:
                raise ProbsegError(
                    "E_SCHEMA", f"'{self.path}' names {len(raters)} raters but holds {self.masks.shape[1]} masks a case"
                )
            if len(set(raters)) < len(raters):
                raise ProbsegError("E_DUPLICATE_RATER", f"'{self.path}' names a rater twice; give each its own name")
            return raters
        return tuple(f"reading-{k + 1}" for k in range(self.masks.shape[1]))

    def default_info(self) -> DatasetInfo:
        """A description for a stack without dataset.yaml: binary masks, the window of its integer type."""
        high = 1.0 if self.image.dtype.kind == "f" else float(np.iinfo(self.image.dtype).max)
        stable = bool({"annotator", "rater"} & set(self._arrays))
        return DatasetInfo(self.path.stem, 2, LabelSet.binary("foreground"), (0.0, high), stable)

    @cached_property
    def _case_ids(self) -> list[str]:
        n, arrays = len(self.image), self._arrays
        if "case" in arrays:
            ids = [str(c).removesuffix(".png") for c in arrays["case"]]
        elif "patient" in arrays:
            ids = [str(p) for p in arrays["patient"]]
            for key in ("nodule", "slice"):
                if key in arrays:
                    ids = [f"{i}-{key[0]}{int(v)}" for i, v in zip(ids, arrays[key], strict=True)]
        else:
            ids = [f"case-{k:05d}" for k in range(n)]
        if len(set(ids)) != n:
            raise ProbsegError("E_DUPLICATE_CASE", f"the {n} images of '{self.path}' have {len(set(ids))} distinct ids")
        return [check_case_id(i) for i in ids]

    def records(self) -> tuple[CaseRecord, ...]:
        """One record an image; its ``image`` and ``mask`` entries are positions in the stack."""
        column = {k: self._arrays[k].astype(str) for k in ("patient", "site", "split") if k in self._arrays}
        empty = np.full(len(self.image), "")
        readings = tuple(Reading(name, str(k)) for k, name in enumerate(self.raters))
        return tuple(
            CaseRecord(
                case_id,
                str(column["patient"][k]) if "patient" in column else case_id,
                str(column.get("site", empty)[k]),
                str(column.get("split", empty)[k]),
                str(k),
                readings,
            )
            for k, case_id in enumerate(self._case_ids)
        )

    def load(self, record: CaseRecord, labels: LabelSet) -> Case:
        """One image with its masks, their file values turned into dense labels."""
        k = int(record.image)
        image = self.image[k]
        spacing, thickness = self._arrays.get("pixel_spacing_mm"), self._arrays.get("slice_thickness_mm")
        geometry = Geometry(
            image.shape,
            None if spacing is None else (float(spacing[k]), float(spacing[k])),
            slice_thickness_mm=None if thickness is None else float(thickness[k]),
        )
        masks = {
            reading.rater: labels.encode(
                self.masks[k, int(reading.mask)], f"mask {reading.rater} of '{record.case_id}'"
            )
            for reading in record.readings
        }
        return Case(
            record.case_id, record.patient_id, record.site, image, masks, geometry, source=Source(self.path, geometry)
        )
