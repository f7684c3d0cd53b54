"""The same object is made again to the last byte, and of anything else another one is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from probseg.errors import ProbsegError
from probseg.io.dicom_objects import Maker, SegmentLabel, SeriesLabel, binary, encoded, fractional
from probseg.io.dicom_objects.concepts import ABNORMAL, LESION

MAKER = Maker("1.2.3", "ProbabilisticUNet", "ab" * 32, "identity")
SEGMENT = SegmentLabel("lesion", ABNORMAL, LESION, "#56b4e9")
LABEL = SeriesLabel("mode", 1, "mode", "MODE")


def test_the_same_again(plain):
    mode = (plain.mode == 1).astype(np.uint8)
    first, second = (encoded(binary(plain.source, mode, [SEGMENT], MAKER, LABEL)) for _ in range(2))
    assert first == second
    other = binary(plain.source, mode, [SEGMENT], replace(MAKER, identity="other"), LABEL)
    one = binary(plain.source, mode, [SEGMENT], MAKER, LABEL)
    assert other.SOPInstanceUID != one.SOPInstanceUID and other.SeriesInstanceUID != one.SeriesInstanceUID


def test_nothing_found_is_one_segment_of_empty_frames(plain, dciodvfy, tmp_path):
    empty = binary(plain.source, np.zeros_like(plain.mode), [SEGMENT], MAKER, LABEL)
    (tmp_path / "empty.dcm").write_bytes(encoded(empty))
    data = pydicom.dcmread(tmp_path / "empty.dcm")
    assert data.pixel_array.shape == plain.mode.shape and not data.pixel_array.any()
    assert dciodvfy(tmp_path / "empty.dcm") == []


def test_what_is_below_and_above_probability_is_clipped(plain):
    wild = np.full(plain.mode.shape, 1.0000001, dtype=np.float32)
    wild[0] = -1e-7
    image = fractional(plain.source, [wild], [SEGMENT], MAKER, LABEL)
    assert image.NumberOfFrames == len(wild) - 1 and set(image.PixelData[:-1]) == {255}


def test_an_array_of_another_scan_is_refused(plain):
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        binary(plain.source, plain.mode[:-1], [SEGMENT], MAKER, LABEL)
