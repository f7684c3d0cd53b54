"""What dciodvfy says of every object of every kind of series."""

from __future__ import annotations

import pytest

# dciodvfy 1.00 of 2022 is older than label map segmentations (Supplement 243 of 2024): it knows neither their class
# nor that their segments may count from the background, 0 (PS3.3, C.8.20.4).
NOT_YET_KNOWN = {
    "Error - SegmentNumber not monotonically increasing from one by one - have SegmentSequence item number 1 (from "
    "one) with SegmentNumber of 0",
    "Error - Information Object Not found",
}


@pytest.mark.parametrize("name", ["segmentation", "probability", "uncertainty", "report"])
def test_no_error(made, dciodvfy, name):
    assert dciodvfy(made.files[name]) == []


def test_of_a_label_map_only_what_the_tool_does_not_know_yet(made, dciodvfy):
    assert set(dciodvfy(made.files["label_map"])) <= NOT_YET_KNOWN


def test_the_tool_finds_a_fault(plain, dciodvfy, tmp_path):
    import pydicom

    data = pydicom.dcmread(plain.files["segmentation"])
    del data.SegmentSequence[0].SegmentAlgorithmType
    data.save_as(tmp_path / "broken.dcm")
    assert dciodvfy(tmp_path / "broken.dcm") != []
