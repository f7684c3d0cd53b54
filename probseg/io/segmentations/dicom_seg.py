"""DICOM segmentations (PS3.3, A.51 and A.90): binary, fractional and label maps, frames placed by their positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.dicom.compressed import Compressed, decode
from probseg.io.dicom.elements import Elements
from probseg.io.dicom.slices import NATIVE
from probseg.io.guard import check_size
from probseg.io.placement import Placement, locate
from probseg.io.segmentations.segment import Segment

__all__ = ["read"]


def read(data: Dataset, elements: Elements, geometry: Geometry, path: Path) -> list[Segment]:
    """The segments of a DICOM-SEG on the grid of the image.

    Frames may come in any order, be smaller than the image and leave slices out: what no frame covers is background.
    A voxel of a fractional segment belongs to it from half of the greatest fraction on.

    Args:
        data: the whole data set.
        elements: where its pixels lie.
        geometry: of the image, a volume.
        path: the file, named in errors.

    Raises:
        ProbsegError: E_NO_LABELS, E_NO_PIXELDATA, E_DICOM_TRUNCATED, E_DICOM_CORRUPT, E_TOO_LARGE, E_NO_DECODER,
            E_DECODE, E_UNKNOWN_LABEL, E_AFFINE_MISMATCH.
    """
    kind = str(data.get("SegmentationType", "")).upper()
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise _fault(path, "E_DICOM_CORRUPT", "is neither a binary nor a fractional nor a label map segmentation")
    background = int(data.get("PixelPaddingValue", 0)) if kind == "LABELMAP" else None
    names = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.get("SegmentSequence") or ()}
    names = {number: name or f"segment {number}" for number, name in names.items() if number != background}
    if not names:
        raise _fault(path, "E_NO_LABELS", "describes no segment")
    check_size(path, len(names) * math.prod(geometry.shape))
    masks = {number: np.zeros(geometry.shape, dtype=bool) for number in names}
    frames = _Frames(data, elements, path)
    for k, pixels in enumerate(frames.pixels()):
        place = frames.placement(k, geometry)
        block = place.turn(pixels[None])
        if kind == "LABELMAP":
            for number in np.unique(block).tolist():
                if number != background:
                    _mask_of(masks, number, path)[place.target] |= block == number
            continue
        mask = _mask_of(masks, frames.segment(k), path)
        chosen = block > 0 if kind == "BINARY" else 2 * block.astype(np.uint16) >= int(data.MaximumFractionalValue)
        mask[place.target] |= chosen
    return [Segment(name, number, masks[number]) for number, name in names.items()]


def _fault(path: Path, code: str, fault: str) -> ProbsegError:
    return ProbsegError(code, f"'{path}' {fault}; export it again")


def _mask_of(masks: dict[int, NDArray[np.bool_]], number: int, path: Path) -> NDArray[np.bool_]:
    if number not in masks:
        raise _fault(path, "E_UNKNOWN_LABEL", f"holds the segment {number}, which it does not describe")
    return masks[number]


class _Frames:
    """The frames of a segmentation: pixels, place and segment of each."""

    def __init__(self, data: Dataset, elements: Elements, path: Path) -> None:
        self.data, self.elements, self.path = data, elements, path
        self.rows, self.columns = int(data.Rows), int(data.Columns)
        self.bits = int(data.BitsAllocated)
        self.count = int(data.get("NumberOfFrames") or 1)
        self.shared = (data.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        self.each = list(data.get("PerFrameFunctionalGroupsSequence") or ())
        if len(self.each) != self.count:
            raise _fault(path, "E_DICOM_CORRUPT", f"describes {len(self.each)} frames but holds {self.count}")
        if elements.pixel_offset is None:
            raise _fault(path, "E_NO_PIXELDATA", "has no PixelData")
        if self.bits not in (1, 8, 16) or self.rows < 1 or self.columns < 1 or int(data.get("SamplesPerPixel", 1)) != 1:
            raise _fault(path, "E_DICOM_CORRUPT", "must hold frames of one sample with 1, 8 or 16 bits a pixel")
        needed = (self.count * self.rows * self.columns * self.bits + 7) // 8
        native = elements.syntax in NATIVE
        if native and (elements.pixel_length is None or elements.pixel_length < needed):
            raise _fault(
                path, "E_DICOM_TRUNCATED", f"holds {elements.pixel_length} of the {needed} bytes that its frames need"
            )

    def _group(self, k: int, name: str) -> Dataset:
        """A frame's own functional group goes before the shared one."""
        found = self.each[k].get(name) or self.shared.get(name)
        if not found:
            raise _fault(self.path, "E_DICOM_CORRUPT", f"lacks {name} of frame {k + 1}")
        group: Dataset = found[0]
        return group

    def segment(self, k: int) -> int:
        """Number of the segment that frame ``k`` is of."""
        return int(self._group(k, "SegmentIdentificationSequence").ReferencedSegmentNumber)

    def placement(self, k: int, geometry: Geometry) -> Placement:
        """Where frame ``k`` lies on the grid."""
        position = np.array(self._group(k, "PlanePositionSequence").ImagePositionPatient, dtype=np.float64)
        orientation = np.array(self._group(k, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64)
        spacing = np.array(self._group(k, "PixelMeasuresSequence").PixelSpacing, dtype=np.float64)
        numbers = np.concatenate([position, orientation, spacing])
        if len(numbers) != 11 or not np.isfinite(numbers).all():
            raise _fault(self.path, "E_DICOM_CORRUPT", f"must place frame {k + 1} with finite numbers")
        across, down = orientation[:3], orientation[3:]
        # A frame is one voxel thick, so its third axis may be that of the grid which it does not run along.
        third = int(np.abs(np.cross(across, down) @ np.asarray(geometry.direction)).argmax())
        affine = np.eye(4)
        affine[:3, 0] = geometry.affine[:3, third]
        affine[:3, 1], affine[:3, 2], affine[:3, 3] = down * spacing[0], across * spacing[1], position
        return locate(affine, (1, self.rows, self.columns), geometry, self.path)

    def pixels(self) -> Iterator[NDArray]:
        """Stored values ``(rows, columns)`` of every frame."""
        if self.elements.syntax in NATIVE:
            yield from self._native()
            return
        frames = tuple(range(self.count))
        bits = int(self.data.get("BitsStored", self.bits))
        for frame, _ in decode([Compressed(self.path, frames, self.elements.syntax, bits)]):
            if frame.shape != (self.rows, self.columns):
                raise _fault(self.path, "E_DECODE", f"decodes to frames of {frame.shape}")
            yield frame

    def _native(self) -> Iterator[NDArray]:
        raw = np.frombuffer(self.data.PixelData, dtype=np.uint8)
        if self.elements.big and self.bits < 16 and self.data["PixelData"].VR == "OW":
            raw = raw[: len(raw) // 2 * 2].view(np.uint16).byteswap().view(np.uint8)
        size = self.rows * self.columns
        for k in range(self.count):
            first, last = k * size * self.bits, (k + 1) * size * self.bits
            part = raw[first // 8 : (last + 7) // 8]
            if (
                self.bits == 1
            ):  # frames follow one another without a gap, from the least bit of each byte (PS3.5, 8.1.1)
                part = np.unpackbits(part, bitorder="little")[first % 8 :][:size]
            elif self.bits == 16:
                part = part.view(">u2" if self.elements.big else "<u2")
            yield part.reshape(self.rows, self.columns)
