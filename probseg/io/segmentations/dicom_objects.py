"""DICOM objects that segment an image: which kind a file is, and a sound data set to read it from."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.dicom.elements import Elements, open_elements, walk
from probseg.io.guard import check_size, file_size
from probseg.io.segmentations import dicom_seg, rtstruct
from probseg.io.segmentations.segment import Segment

__all__ = ["read"]

_SOP_CLASS = 0x00080016
_SEGMENTATION = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
# What pydicom raises on values that are not what their attribute demands.
_FAULTS = (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, NotImplementedError, OSError)


def read(path: Path, geometry: Geometry) -> list[Segment]:
    """The segments of a DICOM-SEG or the regions of an RTSTRUCT, on the grid of the image.

    Raises:
        ProbsegError: E_NO_LABELS for a DICOM object of another kind, E_DICOM_TRUNCATED, E_DICOM_CORRUPT, E_TOO_LARGE;
            the codes of `dicom_seg.read` and `rtstruct.read`.
    """
    size = file_size(path)
    check_size(path, size)
    elements = _sound_elements(path, size)
    kind = elements.values.get(_SOP_CLASS, b"").decode("latin-1").strip("\0 ")
    if kind not in _SEGMENTATION and kind != _RTSTRUCT:
        raise ProbsegError("E_NO_LABELS", f"'{path}' is DICOM, but neither DICOM-SEG nor RTSTRUCT")
    with warnings.catch_warnings():
        # pydicom's remarks on values; every value that is used is judged where it is used
        warnings.simplefilter("ignore", UserWarning)
        try:
            data = pydicom.dcmread(path, force=True)
            _decode_all(data)
        except (*_FAULTS, struct.error, pydicom.errors.BytesLengthException) as error:
            raise ProbsegError("E_DICOM_CORRUPT", f"'{path}' cannot be read as DICOM; export it again") from error
    try:
        if kind == _RTSTRUCT:
            return rtstruct.read(data, geometry, path)
        return dicom_seg.read(data, elements, geometry, path)
    except _FAULTS as error:
        raise ProbsegError(
            "E_DICOM_CORRUPT", f"'{path}' lacks an attribute that its kind demands, or holds another kind of value"
        ) from error


def _sound_elements(path: Path, size: int) -> Elements:
    """Walk over the file, which refuses one that is cut off or nested without end."""
    opened = open_elements(path, size)
    if opened is None:
        raise ProbsegError(
            "E_NO_DICOM", f"'{path}' is neither DICOM nor .nrrd; give a .seg.nrrd, a DICOM-SEG or an RTSTRUCT"
        )
    with opened.stream:
        elements = walk(opened, path, (_SOP_CLASS,))
    there = elements.size - (elements.pixel_offset or 0)
    if elements.pixel_length is not None and elements.pixel_length > there:
        raise ProbsegError(
            "E_DICOM_TRUNCATED",
            f"'{path}' is cut off: {there} of {elements.pixel_length} bytes of PixelData; export it again",
        )
    return elements


def _decode_all(data: Dataset) -> None:
    """Makes pydicom decode every value now, while its remarks are muffled and its faults are expected."""
    for _ in data.iterall():
        pass
