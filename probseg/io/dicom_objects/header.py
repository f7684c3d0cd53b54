"""What derived objects take from the header of a series: patient and study, in values that are what their kind demands.

Headers of hospitals hold everything, and highdicom copies or refuses what it finds. So a header is made anew, of what a
derived object needs and nothing else: what is no date, no number or no code is left empty.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from probseg.io.dicom_objects.maker import derived_uid

__all__ = ["FAULTS", "header_of", "is_uid", "matching", "text_of", "written"]

FAULTS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    NotImplementedError,
    OSError,
    struct.error,
)
"""What pydicom raises on values that are not what their attribute demands."""

_UID = re.compile(r"[0-9]{1,62}(\.[0-9]{1,62})+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def text_of(data: Dataset, keyword: str) -> str:
    """A value as text without control characters; empty where there is none, or none that can be read."""
    try:
        value = data.get(keyword)
    except FAULTS:
        return ""
    if value is None:
        return ""
    if isinstance(value, MultiValue):
        value = "\\".join(str(v) for v in value)
    return _CONTROL.sub(" ", str(value).strip("\0 ")).strip()


def matching(data: Dataset, keyword: str, pattern: str) -> str:
    """The value where it is what its kind demands, else empty."""
    text = text_of(data, keyword)
    sound = re.fullmatch(pattern, text) is not None and (pattern != _DATE or _is_date(text))
    return text if sound else ""


def _is_date(text: str) -> bool:
    try:
        datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def is_uid(text: str) -> bool:
    """Whether a text may be a unique identifier."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


_DATE = r"[0-9]{8}"
_TIME = r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?"
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


def header_of(data: Dataset) -> Dataset:
    """Patient, study, series and frame of reference, in values that are what their kind demands."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"  # texts are decoded when they are read, and written as UTF-8
    header.StudyInstanceUID = text_of(data, "StudyInstanceUID")
    header.SeriesInstanceUID = series = text_of(data, "SeriesInstanceUID")
    frame = text_of(data, "FrameOfReferenceUID")
    header.FrameOfReferenceUID = frame if is_uid(frame) else derived_uid("frame of reference", series)
    header.Modality = "CT"
    for keyword, pattern in _NEEDED.items():
        setattr(header, keyword, matching(data, keyword, pattern))
    for keyword, pattern in _KEPT.items():
        text = matching(data, keyword, pattern)
        if text:
            setattr(header, keyword, text)
    header.update(_deidentification(data))
    return header


def _deidentification(data: Dataset) -> Dataset:
    """The codes of how the patient was taken out, where the source has sound ones."""
    found = Dataset()
    try:
        items = [_code(item) for item in data.get("DeidentificationMethodCodeSequence") or ()]
    except FAULTS:
        return found
    if items and all(len(item) == 3 for item in items):
        found.DeidentificationMethodCodeSequence = items
    return found


def _code(item: Dataset) -> Dataset:
    code = Dataset()
    for keyword, longest in (("CodeValue", 16), ("CodingSchemeDesignator", 16), ("CodeMeaning", 64)):
        text = matching(item, keyword, f".{{1,{longest}}}")
        if text:
            setattr(code, keyword, text)
    return code


def written(data: Dataset) -> tuple[str, str]:
    """When the images were made: the first date that they give, else that of no image at all."""
    for part in ("Content", "Acquisition", "Series", "Study"):
        date = matching(data, f"{part}Date", _DATE)
        if date:
            return date, matching(data, f"{part}Time", _TIME) or "000000"
    return "19000101", "000000"
