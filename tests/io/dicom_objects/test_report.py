"""What a structured report says, read back by highdicom."""

from __future__ import annotations

import math

import pydicom
import pytest
from highdicom.sr import srread


@pytest.fixture(scope="module")
def report(plain):
    return srread(plain.files["report"])


def test_a_class_is_measured_on_its_segment(plain, report):
    segmentation = pydicom.dcmread(plain.files["segmentation"])
    lung, glass = report.content.get_volumetric_roi_measurement_groups()
    assert (lung.tracking_identifier, glass.tracking_identifier) == ("lung", "glass")
    assert lung.tracking_uid == segmentation.SegmentSequence[0].TrackingUID
    assert lung.finding_type.meaning == "Lung"
    segment = lung.referenced_segment
    assert segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]
    assert segment.source_series_for_segmentation.value == plain.source.header.SeriesInstanceUID


def test_a_volume_has_its_interval_twice(report):
    lung, glass = report.content.get_volumetric_roi_measurement_groups()
    found = [(m.name.meaning, m.value, m.unit.meaning) for m in lung.get_measurements()]
    assert found == [
        ("Volume", 4321.125, "milliliter"),
        ("Lower end of the 95 % interval", 4000.0, "milliliter"),
        ("Upper end of the 95 % interval", 4500.5, "milliliter"),
        ("Volume", 4300.0, "milliliter"),
    ]
    mean, *_, mode = lung.get_measurements()
    said = {i.name.meaning: (i.value, i.unit.value) for i in mean[0].ContentSequence if i.ValueType == "NUM"}
    assert said == {
        "+, range of upper measurement uncertainty": (179.375, "mL"),
        "-, range of lower measurement uncertainty": (321.125, "mL"),
    }
    assert mean.derivation.meaning == "Mean" and mean.method.meaning != mode.method.meaning
    assert [m.value for m in glass.get_measurements()] == [12.5, 11.0]  # one draw has no interval


def test_a_group_has_no_segment_and_an_end_that_is_infinite_is_left_out(report):
    (opacity,) = report.content.get_image_measurement_groups()
    assert opacity.tracking_identifier == "opacity"
    found = {m.name.meaning: m.value for m in opacity.get_measurements()}
    assert found["Lower end of the 95 % interval"] == 3.0
    assert "Upper end of the 95 % interval" not in found and math.inf not in found.values()


def test_what_is_not_known_is_not_measured(report):
    assert b"absent" not in str(report).encode()


def test_it_lists_what_it_rests_on(plain, report):
    segmentation = pydicom.dcmread(plain.files["segmentation"])
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    other = getattr(report, "PertinentOtherEvidenceSequence", ())
    listed |= {
        item.ReferencedSOPInstanceUID
        for study in other
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {segmentation.SOPInstanceUID, *plain.source.instances}
    assert report.CompletionFlag == "COMPLETE" and report.VerificationFlag == "UNVERIFIED"
