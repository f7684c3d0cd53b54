"""A CT series from DICOM files: headers first, then order, then pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.io.dicom.compressed import check_decoder
from probseg.io.dicom.headers import NotAnImage, read_slices
from probseg.io.dicom.order import choose_series, order_slices, single_geometry
from probseg.io.dicom.pixels import read_pixels
from probseg.io.dicom.slices import Slice, check_plane
from probseg.io.guard import is_folder

__all__ = ["SeriesSlices", "find_slices", "read_series"]

# An empty file under such a name is litter of an operating system or an index, not a lost slice.
_LITTER_NAMES = frozenset(("dicomdir", "thumbs.db", "desktop.ini", "lockfile", "version"))
_LITTER_SUFFIXES = frozenset(
    (".txt", ".md", ".db", ".ini", ".json", ".xml", ".csv", ".html", ".pdf", ".png", ".jpg", ".log")
)

_WARNINGS = {
    "W_NO_FILE_META": "have no file meta information; their transfer syntax was judged from their first element",
    "W_MODALITY_MISSING": "lack Modality; their SOP class says CT",
    "W_MONOCHROME1": "ask for an inverted display, which changes no HU",
    "W_PIXELDATA_PADDING": "hold bytes behind their last pixel, which were left out",
    "W_DECODER": "were decoded with a complaint of the decoder",
}


def read_series(path: str | Path, series: str | None = None, single: bool = False) -> tuple[NDArray, Geometry]:
    """Read a CT series in HU.

    Args:
        path: a folder of DICOM files, whatever their names, or one DICOM file.
        series: short name of the series to read where a folder holds several; E_MULTIPLE_SERIES lists them.
        single: whether one slice is wanted and not a volume; its spacing then is its thickness.

    Returns:
        ``(slices, rows, columns)`` HU, int16 (float32 only where the rescale demands it), ordered by position along the
        normal, padding -1024; and the geometry in LPS, slices along the normal.

    Raises:
        ProbsegError: E_NO_DICOM, and the codes of `probseg.io.guard` and of this package's modules.
    """
    path = Path(path)
    found = find_slices(path, series, single)
    volume, codes = read_pixels(found.slices, path)
    # only now, so that an error stands alone
    _warn(path, found.slices, codes, found.skipped, found.duplicates)
    return volume, found.geometry


@dataclass(frozen=True)
class SeriesSlices:
    """The slices of one series in order along their normal, and the box that they make.

    Attributes:
        slices: one a plane of the volume.
        geometry: in LPS as stored.
        skipped: names of files in the folder that are no images.
        duplicates: how many exact copies of slices were left out.
    """

    slices: list[Slice]
    geometry: Geometry
    skipped: list[str]
    duplicates: int


def find_slices(path: Path, series: str | None = None, single: bool = False) -> SeriesSlices:
    """The headers of a series in order; arguments and errors are those of `read_series`, but no pixel is read."""
    slices, skipped = _read_headers(path)
    slices = choose_series(slices, path, series)
    for item in slices:
        check_plane(item)
    if single and len(slices) == 1:
        return SeriesSlices(slices, single_geometry(slices[0]), skipped, 0)
    slices, geometry, duplicates = order_slices(slices, path)
    return SeriesSlices(slices, geometry, skipped, duplicates)


def _read_headers(path: Path) -> tuple[list[Slice], list[str]]:
    """Every slice below the path, and the names of files that are no images."""
    if not is_folder(path):
        try:
            slices = read_slices(path)
        except NotAnImage as reason:
            raise ProbsegError("E_NO_DICOM", f"'{path}' is {reason}; give a DICOM series or a NIfTI file") from reason
        check_decoder(slices[0].path, slices[0].syntax, slices[0].bits_stored)
        return slices, []
    slices, skipped = [], []
    for file in sorted(path.iterdir()):
        if is_folder(file) or _is_empty_litter(file):
            skipped.append(file.name)
            continue
        try:
            found = read_slices(file)
        except NotAnImage:
            skipped.append(file.name)
            continue
        check_decoder(found[0].path, found[0].syntax, found[0].bits_stored)
        slices += found
    if not slices:
        raise ProbsegError("E_NO_DICOM", f"the folder '{path}' holds no DICOM image; give the folder of one series")
    return slices, skipped


def _is_empty_litter(file: Path) -> bool:
    name = file.name.lower()
    litter = name.startswith(".") or name in _LITTER_NAMES or file.suffix.lower() in _LITTER_SUFFIXES
    return litter and file.is_file() and file.stat().st_size == 0


def _warn(path: Path, slices: list[Slice], codes: list[str], skipped: list[str], duplicates: int) -> None:
    counts = Counter(code for item in slices for code in set(item.warnings)) + Counter(codes)
    for code in _WARNINGS:
        if counts[code]:
            warn(code, f"{counts[code]} of {len(slices)} slices of '{path}' {_WARNINGS[code]}")
    if duplicates:
        warn("W_DUPLICATE_SLICE", f"'{path}' holds {duplicates} exact copies of slices, which were left out")
    if skipped:
        shown = ", ".join(f"'{name}'" for name in skipped[:5]) + (" and more" if len(skipped) > 5 else "")
        warn("W_NON_DICOM_SKIPPED", f"'{path}' holds {len(skipped)} entries that are no DICOM images: {shown}")
