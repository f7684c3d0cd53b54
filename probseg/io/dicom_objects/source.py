"""The series that a scan came from, as objects made of it must name it: patient, study, frame of reference, images."""

from __future__ import annotations

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
from probseg.io.dicom_objects.header import FAULTS, header_of, is_uid, matching, text_of, written
from probseg.io.dicom_objects.maker import quietly
from probseg.io.flat import is_flat_name
from probseg.io.guard import is_nifti_name, is_nrrd_name

__all__ = ["SourceSeries", "plane_number", "read_source"]

_NAMED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


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
        framed: whether the images name their frame of reference. Where not, de-identification took it, and ``header``
            has one that follows from the series.
    """

    geometry: Geometry
    planes: tuple[Dataset, ...]
    images: tuple[tuple[str, str, int | None], ...]
    header: Dataset
    written: tuple[str, str]
    body_part: str
    number: int
    framed: bool = True

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
        header = header_of(first)
        return SourceSeries(
            found.geometry,
            tuple(_plane(header, item, k, found.geometry) for k, item in enumerate(found.slices)),
            tuple(_image(item, heads[item.path]) for item in found.slices),
            header,
            written(first),
            matching(first, "BodyPartExamined", r"[A-Z0-9 _]{1,16}"),
            int(matching(first, "SeriesNumber", r"[0-9]{1,6}") or 0),
            framed=header.FrameOfReferenceUID == text_of(first, "FrameOfReferenceUID"),
        )


def _read(path: Path) -> Dataset:
    """A whole header; its values are decoded one by one when they are asked for."""
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except FAULTS as error:
        raise ProbsegError("E_DICOM_CORRUPT", f"'{path}' has a header that cannot be read; export it again") from error
    missing = next((keyword for keyword in _NAMED if not is_uid(text_of(data, keyword))), None)
    if missing is not None:
        raise ProbsegError(
            "E_DICOM_CORRUPT",
            f"'{path}' lacks a sound {missing}, so no DICOM object can refer to it; export it again",
        )
    return data


def _image(item: Slice, data: Dataset) -> tuple[str, str, int | None]:
    sop_class, instance = text_of(data, "SOPClassUID"), text_of(data, "SOPInstanceUID")
    return sop_class, instance, None if sop_class == CTImageStorage else item.frame + 1


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
