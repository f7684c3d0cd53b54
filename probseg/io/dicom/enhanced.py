"""The frames of an enhanced multi-frame CT as slices: what holds for all, and what each frame says for itself."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from probseg.errors import ProbsegError
from probseg.io.dicom.slices import Slice

__all__ = ["enhanced_slices"]


def enhanced_slices(template: Slice, frames: int) -> list[Slice]:
    """One slice a frame, in the order stored; ``template`` holds what the top level says.

    Raises:
        ProbsegError: E_DICOM_CORRUPT, E_NO_ORIENTATION, E_NO_SPACING, E_NO_RESCALE, E_NOT_HU.
    """
    with warnings.catch_warnings():
        # pydicom's remarks on values; every value that is used is judged below
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(template.path, stop_before_pixels=True, force=True)
            shared = _first(data, "SharedFunctionalGroupsSequence")
            each = list(data.get("PerFrameFunctionalGroupsSequence") or ())
            if len(each) != frames:
                raise _fault(template, "E_DICOM_CORRUPT", f"describes {len(each)} frames but holds {frames}")
            return [_frame(template, k, shared, own) for k, own in enumerate(each)]
        except (ValueError, TypeError, AttributeError, NotImplementedError, OverflowError) as error:
            raise _fault(template, "E_DICOM_CORRUPT", "has functional groups that cannot be read") from error


def _fault(item: Slice, code: str, fault: str) -> ProbsegError:
    return ProbsegError(code, f"'{item.path}' {fault}; export it again")


def _first(data: Dataset, sequence: str) -> Dataset:
    items = list(data.get(sequence) or [])
    return items[0] if items else Dataset()


def _frame(template: Slice, frame: int, shared: Dataset, own: Dataset) -> Slice:
    def value(sequence: str, name: str) -> Any:
        """A frame's own word goes before the shared one."""
        found = _first(own, sequence).get(name)
        return _first(shared, sequence).get(name) if found is None else found

    position = value("PlanePositionSequence", "ImagePositionPatient")
    orientation = value("PlaneOrientationSequence", "ImageOrientationPatient")
    if position is None or orientation is None:
        raise _fault(template, "E_NO_ORIENTATION", "lacks the position or orientation of a frame")
    spacing = value("PixelMeasuresSequence", "PixelSpacing")
    if spacing is None:
        raise _fault(template, "E_NO_SPACING", "lacks PixelSpacing, so no volume in mL can be known")
    slope = value("PixelValueTransformationSequence", "RescaleSlope")
    intercept = value("PixelValueTransformationSequence", "RescaleIntercept")
    if slope is None or intercept is None:
        raise _fault(template, "E_NO_RESCALE", "lacks RescaleSlope or RescaleIntercept, so its values are not HU")
    if str(value("PixelValueTransformationSequence", "RescaleType") or "HU").upper() != "HU":
        raise ProbsegError("E_NOT_HU", f"'{template.path}' has a RescaleType other than HU; give a series in HU")
    thickness = value("PixelMeasuresSequence", "SliceThickness")
    acquisition = value("FrameContentSequence", "FrameAcquisitionNumber")
    temporal = value("FrameContentSequence", "TemporalPositionIndex")
    return replace(
        template,
        frame=frame,
        position=_numbers(template, position, 3),
        orientation=_numbers(template, orientation, 6),
        pixel_spacing=_numbers(template, spacing, 2),
        thickness=None if thickness is None else float(thickness),
        slope=_numbers(template, [slope], 1)[0],
        intercept=_numbers(template, [intercept], 1)[0],
        phase=(str(acquisition), str(temporal)),
    )


def _numbers(item: Slice, values: Any, count: int) -> tuple[float, ...]:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != count or not all(math.isfinite(v) for v in numbers):
        raise _fault(item, "E_DICOM_CORRUPT", "must place its frames with finite numbers")
    return numbers
