"""One DICOM file to the slices it holds, with everything that must be known before a pixel is read."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.dicom.elements import Elements, open_elements, walk
from probseg.io.dicom.enhanced import enhanced_slices
from probseg.io.dicom.slices import NATIVE, Slice, Vector
from probseg.io.guard import check_size, file_size

__all__ = ["NotAnImage", "read_slices"]

_CT = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = frozenset(("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"))

_TAGS = {
    0x00080016: "sop_class",
    0x00080018: "sop_instance",
    0x00080060: "modality",
    0x00180050: "thickness",
    0x0020000E: "series",
    0x00200012: "acquisition",
    0x00200032: "position",
    0x00200037: "orientation",
    0x00200052: "frame_of_reference",
    0x00200100: "temporal_position",
    0x00280002: "samples",
    0x00280004: "photometric",
    0x00280008: "frames",
    0x00280010: "rows",
    0x00280011: "columns",
    0x00280030: "pixel_spacing",
    0x00280100: "bits_allocated",
    0x00280101: "bits_stored",
    0x00280102: "high_bit",
    0x00280103: "signed",
    0x00280120: "padding",
    0x00280121: "padding_limit",
    0x00281052: "intercept",
    0x00281053: "slope",
    0x00281054: "rescale_type",
}
_TAG_OF = {name: tag for tag, name in _TAGS.items()}


class NotAnImage(Exception):
    """A file in a DICOM folder that is not DICOM, or is DICOM without an image."""


def read_slices(path: Path) -> list[Slice]:
    """The slices of one DICOM file: one, or as many as an enhanced multi-frame image has frames.

    Raises:
        NotAnImage: the file is no DICOM image at all.
        ProbsegError: E_EMPTY_FILE, E_NOT_REGULAR, E_DICOM_TRUNCATED, E_DICOM_CORRUPT, E_NO_PIXELDATA, E_MODALITY,
            E_NOT_HU, E_NO_RESCALE, E_NO_SPACING, E_NO_ORIENTATION, E_NDIM, E_TOO_LARGE.
    """
    size = file_size(path)
    opened = open_elements(path, size)
    if opened is None:
        raise NotAnImage("not DICOM")
    with opened.stream:
        elements = walk(opened, path, _TAG_OF.values())
    return _Header(path, elements).slices()


class _Header:
    """The values of one file, decoded when asked for; a fault names the attribute and never its value."""

    def __init__(self, path: Path, elements: Elements) -> None:
        self.path = path
        self.elements = elements

    def text(self, name: str) -> str:
        raw = self.elements.values.get(_TAG_OF[name], b"")
        return raw.decode("latin-1").strip("\0 ")

    def numbers(self, name: str, count: int) -> Vector | None:
        """Decimal strings; None where absent or empty."""
        text = self.text(name)
        if not text:
            return None
        try:
            values = tuple(float(part) for part in text.split("\\"))
        except ValueError as error:
            raise self.fault("E_DICOM_CORRUPT", f"holds something other than numbers in {name}") from error
        if len(values) != count or not all(math.isfinite(v) for v in values):
            raise self.fault("E_DICOM_CORRUPT", f"must hold {count} finite numbers in {name}")
        return values

    def integer(self, name: str, default: int | None = None, signed: bool = False) -> int:
        """A binary 16-bit number."""
        raw = self.elements.values.get(_TAG_OF[name], b"")
        if len(raw) < 2:
            if default is None:
                raise self.fault("E_DICOM_CORRUPT", f"lacks {name}")
            return default
        return int(struct.unpack_from((">" if self.elements.big else "<") + ("h" if signed else "H"), raw)[0])

    def fault(self, code: str, fault: str) -> ProbsegError:
        return ProbsegError(code, f"'{self.path}' {fault}")

    def slices(self) -> list[Slice]:
        sop_class = self.text("sop_class")
        if not sop_class and not self.elements.values:
            raise NotAnImage("no DICOM attribute that an image has")
        is_ct = sop_class == _CT or sop_class in _ENHANCED_CT
        has_rows = _TAG_OF["rows"] in self.elements.values
        if not is_ct and not has_rows:
            raise NotAnImage("DICOM, but no image")
        warnings = self._check_kind(is_ct)
        if not has_rows:
            raise self.fault("E_DICOM_TRUNCATED", "ends before its image is described; export it again")
        if self.elements.pixel_offset is None:
            raise self.fault("E_NO_PIXELDATA", "has no PixelData; export it again")
        frames = self._frames()
        self._check_length(frames, warnings)
        if sop_class in _ENHANCED_CT:
            return enhanced_slices(self._slice(0, warnings, None), frames)
        if frames != 1:
            raise self.fault("E_NDIM", f"holds {frames} frames in a class of image that has one")
        return [self._slice(0, warnings, self._plane())]

    def _check_kind(self, is_ct: bool) -> list[str]:
        modality = self.text("modality").upper()
        warnings = [] if self.elements.has_meta else ["W_NO_FILE_META"]
        if modality not in ("CT", "") or (not modality and not is_ct):
            raise self.fault("E_MODALITY", "is not CT, and only CT is in Hounsfield units; give a CT series")
        if not modality:
            warnings.append("W_MODALITY_MISSING")
        photometric = self.text("photometric").upper()
        if self.integer("samples", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
            raise self.fault("E_NOT_HU", "is a colour image; give the CT series itself")
        if photometric == "MONOCHROME1":
            warnings.append("W_MONOCHROME1")
        return warnings

    def _frames(self) -> int:
        text = self.text("frames") or "1"
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise self.fault("E_DICOM_CORRUPT", "must hold a positive number of frames")
        return int(text)

    def _check_length(self, frames: int, warnings: list[str]) -> None:
        """Whether the file can hold the pixels that its header promises."""
        e = self.elements
        assert e.pixel_offset is not None  # checked before
        there = e.size - e.pixel_offset
        if e.pixel_length is not None and e.pixel_length > there:
            raise self.fault(
                "E_DICOM_TRUNCATED", f"is cut off: {there} of {e.pixel_length} bytes of PixelData; export it again"
            )
        if e.syntax not in NATIVE:
            check_size(self.path, self.integer("rows") * self.integer("columns") * frames * 2)
            return
        if e.pixel_length is None:
            raise self.fault("E_DICOM_CORRUPT", "holds compressed pixels, but its transfer syntax is uncompressed")
        bits = self.integer("bits_allocated")
        if bits not in (8, 16, 32):
            raise self.fault("E_DICOM_CORRUPT", "must allocate 8, 16 or 32 bits a pixel")
        needed = self.integer("rows") * self.integer("columns") * frames * bits // 8
        if needed == 0:
            raise self.fault("E_DICOM_CORRUPT", "has no rows or no columns")
        if e.pixel_length < needed:
            raise self.fault(
                "E_DICOM_TRUNCATED",
                f"holds {e.pixel_length} of the {needed} bytes that its rows and columns need; export it again",
            )
        if e.pixel_length > needed + 1:  # one byte makes the length even
            warnings.append("W_PIXELDATA_PADDING")

    def _plane(self) -> tuple[Vector, Vector, Vector, float, float]:
        """Position, orientation, pixel spacing, slope and intercept of a single-frame image."""
        position, orientation = self.numbers("position", 3), self.numbers("orientation", 6)
        if position is None or orientation is None:
            raise self.fault("E_NO_ORIENTATION", "lacks ImagePositionPatient or ImageOrientationPatient")
        spacing = self.numbers("pixel_spacing", 2)
        if spacing is None:
            raise self.fault("E_NO_SPACING", "lacks PixelSpacing, so no volume in mL can be known; export it again")
        slope, intercept = self.numbers("slope", 1), self.numbers("intercept", 1)
        if slope is None or intercept is None:
            raise self.fault("E_NO_RESCALE", "lacks RescaleSlope or RescaleIntercept, so its values are not HU")
        if self.text("rescale_type").upper() not in ("HU", ""):
            raise self.fault("E_NOT_HU", "has a RescaleType other than HU; give a series in Hounsfield units")
        return position, orientation, spacing, slope[0], intercept[0]

    def _padding(self, signed: bool) -> tuple[int, int] | None:
        if len(self.elements.values.get(_TAG_OF["padding"], b"")) < 2:
            return None
        first = self.integer("padding", signed=signed)
        last = self.integer("padding_limit", first, signed=signed)
        return min(first, last), max(first, last)

    def _slice(
        self, frame: int, warnings: list[str], plane: tuple[Vector, Vector, Vector, float, float] | None
    ) -> Slice:
        position, orientation, spacing, slope, intercept = plane or ((), (), (), math.nan, math.nan)
        bits_allocated = self.integer("bits_allocated")
        bits_stored = self.integer("bits_stored", bits_allocated)
        signed = self.integer("signed", 0) == 1
        thickness = self.numbers("thickness", 1)
        e = self.elements
        assert e.pixel_offset is not None  # checked before
        if not 1 <= bits_stored <= bits_allocated:
            raise self.fault("E_DICOM_CORRUPT", "stores more bits than it allocates")
        return Slice(
            path=self.path,
            frame=frame,
            series=self.text("series"),
            sop_instance=self.text("sop_instance"),
            frame_of_reference=self.text("frame_of_reference"),
            phase=(self.text("acquisition"), self.text("temporal_position")),
            position=position,
            orientation=orientation,
            pixel_spacing=spacing,
            thickness=thickness[0] if thickness else None,
            slope=slope,
            intercept=intercept,
            rows=self.integer("rows"),
            columns=self.integer("columns"),
            bits_allocated=bits_allocated,
            bits_stored=bits_stored,
            high_bit=self.integer("high_bit", bits_stored - 1),
            signed=signed,
            padding=self._padding(signed),
            syntax=e.syntax,
            big=e.big,
            pixel_offset=e.pixel_offset,
            pixel_length=e.pixel_length,
            warnings=tuple(warnings),
        )
