"""One prepared case in one file: its image as raw memory, its masks packed plane by plane, any part read alone.

The layout, little-endian: 8 bytes `_MAGIC`, the length of the header (8 bytes), the header (JSON), zeros up to a
multiple of 64, then the image, zeros again, the table of planes (int64) and the planes. The table is ``(slices, 2,
raters, k)``: for each slice the masks of all raters, then what each looked at, with the columns of
`probseg.io.planes.COLUMNS`.
"""

from __future__ import annotations

import json
import math
import mmap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case, Geometry, Source
from probseg.errors import ProbsegError
from probseg.io.atomic import replacing
from probseg.io.planes import COLUMNS, pack, unpack

__all__ = ["FORMAT", "PreparedCase", "Slab", "write_prepared"]

FORMAT = 2
_MAGIC = b"probseg\x01"
_ALIGN = 64
_DRAWN, _RATED = 0, 1
Range = tuple[int, int]


class Slab(NamedTuple):
    """A part of a case, in arrays that are the caller's own.

    Attributes:
        image: ``(slices, rows, columns)`` or ``(channels, slices, rows, columns)``, as stored, not yet normalised.
        masks: ``(raters, slices, rows, columns)`` uint8, dense labels.
        rated: bool, of the same shape; of one row and one column where each rater looked at all or at nothing of each
            plane, which is nearly always so.
    """

    image: NDArray
    masks: NDArray[np.uint8]
    rated: NDArray[np.bool_]


def _packed(masks: NDArray[np.uint8], rated: NDArray[np.uint8], small: bool = False) -> tuple[NDArray[np.int64], bytes]:
    """The table of planes and their bytes; arguments ``(raters, slices, rows, columns)``."""
    table = np.zeros((masks.shape[1], 2, len(masks), len(COLUMNS)), dtype="<i8")
    planes: list[bytes] = []
    offset = 0
    for k in range(masks.shape[1]):
        for kind, labels in ((_DRAWN, masks), (_RATED, rated)):
            for rater in range(len(masks)):
                table[k, kind, rater], data = pack(labels[rater, k], offset, small)
                planes.append(data)
                offset += len(data)
    return table, b"".join(planes)


def write_prepared(path: Path, case: Case, key: str) -> None:
    """Write a case, whole or not at all; the same case and key give the same bytes.

    Args:
        path: of the file.
        case: an image of two dimensions is taken as one slice.
        key: says what the file was made from; `PreparedCase.key` gives it back.
    """
    flat = case.geometry.dimensions == 2
    space = (1, *case.geometry.shape) if flat else case.geometry.shape
    image = case.image.reshape(*case.image.shape[: case.image.ndim - case.geometry.dimensions], *space)
    image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    stacked, looked = case.stacked()
    masks, rated = stacked.reshape(-1, *space), looked.reshape(-1, *space)
    drawn = np.logical_or.reduce((masks > 0) & rated, axis=0)
    table, planes = _packed(masks, rated.view(np.uint8))
    if table.nbytes + len(planes) > masks.nbytes / 2:
        table, planes = _packed(masks, rated.view(np.uint8), small=True)
    filler = bytes(-image.nbytes % _ALIGN)
    body: list[Any] = [
        image.reshape(-1).view(np.uint8).data,
        filler,
        table.reshape(-1).view(np.uint8).data,
        planes,
    ]
    crc = 0
    for part in body:
        crc = zlib.crc32(part, crc)
    header = {
        "key": key,
        "case_id": case.case_id,
        "dtype": image.dtype.str,
        "image": list(image.shape),
        "dimensions": case.geometry.dimensions,
        "raters": list(case.masks),
        "geometry": asdict(case.geometry),
        "stored": None if case.source.geometry is None else asdict(case.source.geometry),
        "drawn": drawn.sum(axis=(1, 2)).tolist(),
        "planes": len(planes),
        "crc32": crc,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    start = b"".join((_MAGIC, len(text).to_bytes(8, "little"), text))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(start + bytes(-len(start) % _ALIGN))
        for part in body:
            file.write(part)


def _geometry(data: Mapping[str, Any] | None) -> Geometry | None:
    if data is None:
        return None
    spacing = data["spacing"]
    return Geometry(
        tuple(data["shape"]),
        None if spacing is None else tuple(spacing),
        tuple(data["origin"]),
        tuple(tuple(row) for row in data["direction"]),  # type: ignore[arg-type]  # 3 x 3 as written
        data["slice_thickness_mm"],
    )


def _alike(row: Sequence[int], r0: int, r1: int, c0: int, c1: int) -> bool | None:
    """The one value of a plane of booleans in a window; None where it may hold both."""
    _, _, top, bottom, left, right, depth, _, _ = row
    if top >= r1 or bottom <= r0 or left >= c1 or right <= c0:
        return False
    whole = depth == 0 and top <= r0 and bottom >= r1 and left <= c0 and right >= c1
    return True if whole else None


class PreparedCase:
    """A prepared case, of which only what is asked for is read; in another process it opens its file anew.

    Args:
        path: what `write_prepared` wrote.

    Attributes:
        key: what the file was made from.
        raters: names, in the order of the masks.
        geometry: canonical.
        slices: how many; 1 for an image of two dimensions.
        voxels: of one mask.
        channels: of the image.
        image_bytes, mask_bytes: what image and masks take in the file.
        drawn: voxels of each slice that some rater drew and had rated.

    Raises:
        ProbsegError: E_STORE_DAMAGED where the file is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                start = file.read(16)
                length = int.from_bytes(start[8:], "little")
                if start[:8] != _MAGIC or length > path.stat().st_size:
                    raise self._damaged()
                header = json.loads(file.read(length))
            self.key: str = header["key"]
            self.case_id: str = header["case_id"]
            self.raters = tuple(header["raters"])
            geometry = _geometry(header["geometry"])
            assert geometry is not None
            self.geometry: Geometry = geometry
            self.stored = _geometry(header["stored"])
            self.drawn = tuple(header["drawn"])
            self._shape, self._dtype = tuple(header["image"]), np.dtype(header["dtype"])
            self._crc32, self._planes = header["crc32"], header["planes"]
        except OSError as error:
            raise ProbsegError("E_FILE_MISSING", f"'{path}' cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise self._damaged() from error
        self.slices: int = self._shape[-3]
        self.voxels = math.prod(self._shape[-3:])
        self.channels = math.prod(self._shape[:-3])
        self._table_shape = (self.slices, 2, len(self.raters), len(COLUMNS))
        self.image_bytes = math.prod(self._shape) * self._dtype.itemsize
        self._start = 16 + length + -(16 + length) % _ALIGN
        self.mask_bytes = 8 * math.prod(self._table_shape) + self._planes
        self._table_start = self.image_bytes + -self.image_bytes % _ALIGN
        if path.stat().st_size != self._start + self._table_start + self.mask_bytes:
            raise self._damaged()

    def _damaged(self) -> ProbsegError:
        return ProbsegError("E_STORE_DAMAGED", f"'{self.path}' is no whole prepared case; remove it and prepare again")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_body", "image", "_table", "_data")}

    @cached_property
    def _body(self) -> NDArray[np.uint8]:
        with self.path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(whole, np.uint8, offset=self._start)

    @cached_property
    def image(self) -> NDArray:
        """``([channels,] slices, rows, columns)``, memory-mapped and read-only."""
        return self._body[: self.image_bytes].view(self._dtype).reshape(self._shape)

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        part = self._body[self._table_start : self._table_start + 8 * math.prod(self._table_shape)]
        return np.frombuffer(part.tobytes(), "<i8").reshape(self._table_shape)

    @cached_property
    def _data(self) -> NDArray[np.uint8]:
        return self._body[self._table_start + 8 * math.prod(self._table_shape) :]

    def check(self) -> None:
        """Read every byte; E_STORE_DAMAGED where one is not as it was written."""
        if zlib.crc32(self._body.data) != self._crc32:
            raise self._damaged()

    def read(
        self,
        start: int,
        stop: int,
        rows: Range | None = None,
        columns: Range | None = None,
        raters: Sequence[str] | None = None,
    ) -> Slab:
        """Slices ``start`` to ``stop`` (not included), or a window of them.

        Args:
            start: first slice, at least 0.
            stop: end, at most `slices`.
            rows: first row and end; None for all.
            columns: first column and end; None for all.
            raters: whose masks, in which order; None for all.

        Raises:
            ProbsegError: E_SCHEMA where the part does not lie inside the case, E_UNKNOWN_RATER, E_STORE_DAMAGED.
        """
        ranges = ((start, stop), rows or (0, self._shape[-2]), columns or (0, self._shape[-1]))
        (_, _), (r0, r1), (c0, c1) = ranges
        if not all(0 <= a < b <= n for (a, b), n in zip(ranges, self._shape[-3:], strict=True)):
            raise ProbsegError(
                "E_SCHEMA", f"the part {ranges} does not lie inside case '{self.case_id}', {self._shape[-3:]}"
            )
        numbers = self._numbers(self.raters if raters is None else raters)
        table = self._table[start:stop].tolist()
        shape = (len(numbers), stop - start, r1 - r0, c1 - c0)
        masks = self._unpacked([both[_DRAWN] for both in table], numbers, shape, r0, c0)
        looked = [_alike(both[_RATED][number], r0, r1, c0, c1) for number in numbers for both in table]
        if None in looked:
            rated = self._unpacked([both[_RATED] for both in table], numbers, shape, r0, c0).view(bool)
        else:
            rated = np.array(looked, dtype=bool).reshape(*shape[:2], 1, 1)
        return Slab(self.image[..., start:stop, r0:r1, c0:c1].copy(), masks, rated)

    def _numbers(self, raters: Sequence[str]) -> list[int]:
        strange = [name for name in raters if name not in self.raters]
        if strange:
            raise ProbsegError("E_UNKNOWN_RATER", f"case '{self.case_id}' has no prepared rater '{strange[0]}'")
        return [self.raters.index(name) for name in raters]

    def _unpacked(
        self, table: list[list[list[int]]], numbers: Sequence[int], shape: tuple[int, ...], r0: int, c0: int
    ) -> NDArray[np.uint8]:
        labels = np.zeros(shape, dtype=np.uint8)
        data = self._data
        try:
            for k, planes in enumerate(table):
                for place, number in enumerate(numbers):
                    unpack(planes[number], data, labels[place, k], r0, c0)
        except (zlib.error, ValueError) as error:
            raise self._damaged() from error
        return labels

    def drawn_by(self, raters: Sequence[str]) -> tuple[int, ...]:
        """`drawn` where only some raters count."""
        if set(raters) == set(self.raters):
            return self.drawn
        counts = []
        for k in range(self.slices):
            _, masks, rated = self.read(k, k + 1, raters=raters)
            counts.append(int(((masks > 0) & rated).any(axis=0).sum()))
        return tuple(counts)

    def looked_by(self, raters: Sequence[str]) -> tuple[bool, ...]:
        """Whether some of these raters looked at some of each slice."""
        planes = self._table[:, _RATED, self._numbers(raters)]
        return tuple(bool(np.any(plane[:, 3] > plane[:, 2])) for plane in planes)

    def case(self, patient_id: str, site: str, raters: Sequence[str], path: Path | None = None) -> Case:
        """The whole case, as it was before; ``path`` is where its image came from."""
        image, masks, looked = self.read(0, self.slices, raters=raters)
        shape = self.geometry.shape
        looked = looked if self.geometry.dimensions == 3 else looked[:, 0]
        rated = {name: looked[k] for k, name in enumerate(raters) if not looked[k].all()}
        return Case(
            self.case_id,
            patient_id,
            site,
            image.reshape(*image.shape[:-3], *shape),
            {name: masks[k].reshape(shape) for k, name in enumerate(raters)},
            self.geometry,
            rated,
            Source(path, self.stored),
        )
