"""What every image made of a series has in common: its source, its time, and what highdicom would draw at random."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from probseg.errors import ProbsegError
from probseg.io.dicom_objects.maker import Maker, SeriesLabel, quietly
from probseg.io.dicom_objects.source import SourceSeries, plane_number

__all__ = ["FramePixels", "check_planes", "encoded", "image_arguments", "settled", "without_clock"]

FramePixels = Callable[[int | None, int], NDArray]


def check_planes(array: NDArray, source: SourceSeries) -> None:
    """E_SHAPE_MISMATCH where an array does not lie on the planes of its source."""
    if array.shape[-3:] != source.geometry.shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"an array of shape {array.shape} does not lie on a series of {source.geometry.shape}"
        )


def image_arguments(source: SourceSeries, maker: Maker, label: SeriesLabel) -> dict[str, Any]:
    """Arguments that highdicom's images share."""
    date, time = source.written
    return {
        "source_images": list(source.planes),
        "content_label": label.content,
        "content_description": label.description,
        "content_date": date,
        "content_time": time,
        "specific_character_set": "ISO_IR 192",
        **maker.equipment(),
        **maker.series(label, source.number),
    }


def settled(image: Dataset, source: SourceSeries, maker: Maker, label: SeriesLabel, pixels: FramePixels) -> Dataset:
    """Order the frames, name the true images, and take out what was drawn at random or from the clock.

    highdicom stacks frames against the normal; here they follow it, as the planes of the source do, so that a reader
    who takes them as they come has the volume that it has of the source.

    Args:
        image: of highdicom; it is changed.
        source: the series.
        maker: who made it.
        label: what its series is called.
        pixels: gives the pixels of a frame, ``(rows, columns)``, by its segment (None without segments) and its plane.
    """
    frames = sorted(image.PerFrameFunctionalGroupsSequence, key=lambda frame: _place(image, frame))
    places = [_place(image, frame) for frame in frames]
    number = {plane: k for k, plane in enumerate(sorted({plane for _, plane in places}), start=1)}
    for frame, (_, plane) in zip(frames, places, strict=True):
        index = frame.FrameContentSequence[0]
        *before, _ = np.atleast_1d(index.DimensionIndexValues).tolist()
        index.DimensionIndexValues = [*before, number[plane]]
    image.PerFrameFunctionalGroupsSequence = frames
    _fill(image, [pixels(segment or None, plane) for segment, plane in places])
    # frames of several segments may share one data set
    references = {id(_reference(frame)): _reference(frame) for frame in frames}
    for reference in references.values():
        source.refer(reference)
    image.SourceImageSequence = [_whole(instance, kind) for instance, kind in source.instances.items()]
    image.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [
        _whole(instance, kind) for instance, kind in source.instances.items()
    ]
    organisation = maker.uid(label.key, "dimensions")
    image.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for dimension in image.DimensionIndexSequence:
        dimension.DimensionOrganizationUID = organisation
    without_clock(image)
    image.ContentCreatorName = ""  # type 2, and DCMTK refuses a map without it
    if source.body_part:
        image.BodyPartExamined = source.body_part
    return image


def without_clock(data: Dataset) -> None:
    """Take out when highdicom made the object."""
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        delattr(data, keyword)
    for equipment in data.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            del equipment.ContributionDateTime


def _reference(frame: Dataset) -> Dataset:
    """What a frame says of its source; until `SourceSeries.refer` it holds the number of the plane."""
    reference: Dataset = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return reference


def _place(image: Dataset, frame: Dataset) -> tuple[int, int]:
    """Segment, 0 where there are none, and plane of a frame."""
    for groups in (frame, image.SharedFunctionalGroupsSequence[0]):
        if "SegmentIdentificationSequence" in groups:
            segment = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            break
    else:
        segment = 0
    return segment, plane_number(_reference(frame).ReferencedSOPInstanceUID)


def _fill(image: Dataset, frames: list[NDArray]) -> None:
    """Frames follow one another; those of single bits without a gap, from the least bit of each byte (PS3.5, 8.1.1)."""
    if "FloatPixelData" in image:
        image.FloatPixelData = b"".join(frame.tobytes() for frame in frames)
        return
    if image.BitsAllocated == 1:
        data = np.packbits(np.concatenate([frame.ravel() for frame in frames]), bitorder="little").tobytes()
    else:
        data = b"".join(frame.tobytes() for frame in frames)
    image.PixelData = data + b"\0" * (len(data) % 2)


def _whole(instance: str, kind: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = kind, instance
    return reference


def encoded(data: Dataset) -> bytes:
    """The object as a DICOM file: preamble of zeros, file meta information, data set."""
    buffer = io.BytesIO()
    with quietly():
        data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
