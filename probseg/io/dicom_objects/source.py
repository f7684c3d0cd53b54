"""The series that a scan came from, as objects made of it must name it: patient, study, frame of reference, images.

Headers of hospitals hold everything, and highdicom copies or refuses what it finds. So each plane is described anew
here, with what a derived object needs and nothing else: what is no date, no number or no code is left empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.dicom import find_slices
from probseg.io.dicom.slices import Slice
from probseg.io.dicom_objects.maker import quietly
from probseg.io.flat import is_flat_name
from probseg.io.guard import is_nifti_name, is_nrrd_name

__all__ = ["SourceSeries", "plane_number", "read_source"]

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
_UID = re.compile(r"[0-9]{1,62}(\.[0-9]{1,62})+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A CT series in order along its normal.

    Attributes:
        geometry: of the series as stored; plane k of an array of ``geometry.shape`` lies on image k.
        planes: one data set a plane, as if each were a CT image of its own; the number of the plane stands for its
            SOPInstanceUID, so that `refer` finds the image behind a reference.
        images: SOP class, SOP instance, and number of the frame (None for images of one frame) of each plane.
        header: patient and study; what a report inherits.
        written: date and time that its images carry, ``("20200101", "120000")``.
        body_part: BodyPartExamined, empty where the series does not say.
        number: SeriesNumber, 0 where there is none.
    """

    geometry: Geometry
    planes: tuple[Dataset, ...]
    images: tuple[tuple[str, str, int | None], ...]
    header: Dataset
    written: tuple[str, str]
    body_part: str
    number: int

    @property
    def instances(self) -> dict[str, str]:
        """SOP instance to SOP class of every image, in order."""
        return {instance: sop_class for sop_class, instance, _ in self.images}

    def evidence(self) -> list[Dataset]:
        """One data set an image, for documents that list what they rest on."""
        found = []
        for instance, sop_class in self.instances.items():
            item = deepcopy(self.header)
            item.SOPInstanceUID, item.SOPClassUID = instance, sop_class
            found.append(item)
        return found

    def refer(self, reference: Dataset) -> None:
        """Let a reference to a plane name the image, and of a multi-frame image the frame."""
        sop_class, instance, frame = self.images[plane_number(reference.ReferencedSOPInstanceUID)]
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
        if frame is not None:
            reference.ReferencedFrameNumber = frame


def _plane_uid(plane: int) -> str:
    return f"2.25.{plane + 1}"


def plane_number(uid: str) -> int:
    """The plane that the SOPInstanceUID in `SourceSeries.planes` stands for."""
    return int(uid.rpartition(".")[2]) - 1


def read_source(path: Path | None, series: str | None = None, single: bool = False) -> SourceSeries:
    """Read the headers of a series.

    Args:
        path: file or folder of the image; see `probseg.io.dicom.read_series`.
        series: short name of the series, where the folder holds several.
        single: whether it is one slice and not a volume.

    Raises:
        ProbsegError: E_NO_DICOM where the image is no DICOM, so that there is no patient for an object to belong to;
            E_DICOM_CORRUPT where the series lacks an identifier that references need; the codes of `read_series`.
    """
    named = path is not None and (is_nifti_name(path) or is_nrrd_name(path) or is_flat_name(path))
    if path is None or named:
        raise ProbsegError(
            "E_NO_DICOM",
            f"{'the image' if path is None else repr(str(path))} is no DICOM series, so DICOM objects of it would "
            "belong to no patient and no study; give the series itself, or --format nifti",
        )
    found = find_slices(path, series, single)
    with quietly():
        heads = {item.path: _read(item.path) for item in found.slices}
    first = heads[found.slices[0].path]
    header = _header(first)
    header.SpecificCharacterSet = "ISO_IR 192"  # texts are decoded when they are read, and written as UTF-8
    images = tuple(_image(item, heads[item.path]) for item in found.slices)
    return SourceSeries(
        found.geometry,
        tuple(_plane(header, item, k, found.geometry) for k, item in enumerate(found.slices)),
        images,
        header,
        _written(first),
        _matching(first, "BodyPartExamined", r"[A-Z0-9 _]{1,16}"),
        int(_matching(first, "SeriesNumber", r"[0-9]{1,6}") or 0),
    )


def _read(path: Path) -> Dataset:
    """A whole header; every value is decoded now, while pydicom's remarks are kept quiet."""
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        data.decode()
        for uid in _UIDS:
            if not _UID.fullmatch(str(data.get(uid, "")).strip("\0 ")):
                raise ProbsegError(
                    "E_DICOM_CORRUPT",
                    f"'{path}' lacks a sound {uid}, so no DICOM object can refer to it; export it again",
                )
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OSError, LookupError) as error:
        raise ProbsegError("E_DICOM_CORRUPT", f"'{path}' has a header that cannot be read; export it again") from error
    return data


def _image(item: Slice, data: Dataset) -> tuple[str, str, int | None]:
    frame = item.frame + 1 if "NumberOfFrames" in data else None
    return str(data.SOPClassUID), str(data.SOPInstanceUID), frame


def _plane(header: Dataset, item: Slice, k: int, geometry: Geometry) -> Dataset:
    plane = deepcopy(header)
    plane.SOPClassUID, plane.SOPInstanceUID = CTImageStorage, _plane_uid(k)
    plane.Rows, plane.Columns = item.rows, item.columns
    plane.ImagePositionPatient = [_decimal(v) for v in item.position]
    plane.ImageOrientationPatient = [_decimal(v) for v in item.orientation]
    plane.PixelSpacing = [_decimal(v) for v in item.pixel_spacing]
    assert geometry.spacing is not None  # read_series knows it
    plane.SliceThickness = _decimal(item.thickness or geometry.spacing[0])
    if geometry.shape[0] > 1:
        plane.SpacingBetweenSlices = _decimal(geometry.spacing[0])
    return plane


def _decimal(value: float) -> str:
    """The closest decimal string of at most 16 characters."""
    text = repr(float(value) + 0.0)
    for digits in range(16, 0, -1):
        if len(text) <= 16:
            break
        text = f"{float(value):.{digits}g}"
    return text


def _text(data: Dataset, keyword: str) -> str:
    try:
        value = data.get(keyword)
    except (ValueError, TypeError, AttributeError, NotImplementedError, LookupError):
        return ""
    if value is None:
        return ""
    if isinstance(value, pydicom.multival.MultiValue):
        value = "\\".join(str(v) for v in value)
    return _CONTROL.sub(" ", str(value)).strip()


def _matching(data: Dataset, keyword: str, pattern: str) -> str:
    """The value where it is what its kind demands, else empty."""
    text = _text(data, keyword)
    return text if re.fullmatch(pattern, text) else ""


_DATE = r"[0-9]{8}"
_TIME = r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?"
_NUMBER = r"[0-9]{1,6}(\.[0-9]{1,6})?"
_ANY = r"(?s).*"
# Type 2: there, and empty where nothing sound is known.
_NEEDED: Mapping[str, str] = {
    "PatientName": _ANY,
    "PatientID": _ANY,
    "PatientBirthDate": _DATE,
    "PatientSex": "[MFO]",
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "StudyID": _ANY,
    "AccessionNumber": _ANY,
    "ReferringPhysicianName": _ANY,
    "PositionReferenceIndicator": _ANY,
}
# There only if the source has it.
_KEPT: Mapping[str, str] = {
    "IssuerOfPatientID": _ANY,
    "PatientIdentityRemoved": "YES|NO",
    "DeidentificationMethod": _ANY,
    "StudyDescription": _ANY,
    "PatientAge": "[0-9]{3}[DWMY]",
    "PatientSize": _NUMBER,
    "PatientWeight": _NUMBER,
    "LossyImageCompression": "00|01",
    "LossyImageCompressionRatio": rf"{_NUMBER}(\\{_NUMBER})*",
    "LossyImageCompressionMethod": r"[A-Z0-9_ ]{1,16}(\\[A-Z0-9_ ]{1,16})*",
}


def _header(data: Dataset) -> Dataset:
    """Patient, study, series and frame of reference, in values that are what their kind demands."""
    header = Dataset()
    for uid in _UIDS[2:]:
        setattr(header, uid, str(data.get(uid)).strip("\0 "))
    header.Modality = "CT"
    with quietly():
        for keyword, pattern in _NEEDED.items():
            setattr(header, keyword, _matching(data, keyword, pattern))
        for keyword, pattern in _KEPT.items():
            text = _matching(data, keyword, pattern)
            if text:
                setattr(header, keyword, text)
        if "DeidentificationMethodCodeSequence" in data:
            header.DeidentificationMethodCodeSequence = deepcopy(data.DeidentificationMethodCodeSequence)
    return header


def _written(data: Dataset) -> tuple[str, str]:
    """When the images were made: the first date that they give, else that of no image at all."""
    for part in ("Content", "Acquisition", "Series", "Study"):
        date = _matching(data, f"{part}Date", _DATE)
        if date:
            return date, _matching(data, f"{part}Time", _TIME) or "000000"
    return "19000101", "000000"
