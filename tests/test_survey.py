"""What a case holds, in figures that can be counted by hand."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import CaseRecord, Dataset, DatasetInfo, Reading
from probseg.survey import survey

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)


def facts_of(masks, rated=None, image=None, spacing=(2.0, 1.0, 0.5)):
    image = np.arange(8, dtype=np.int16).reshape(2, 2, 2) if image is None else image
    geometry = Geometry((2, 2, 2), spacing)
    case = Case("c", "p", "s", image, masks, geometry, rated or {})
    record = CaseRecord("c", "p", "s", "", "c.nii", tuple(Reading(r, f"{r}.nii") for r in masks))
    info = DatasetInfo("d", 3, LABELS, (0.0, 1.0))
    return next(iter(survey(Dataset(info, (record,), lambda _: case))))


def mask(*values):
    return np.array([*values, *[0] * (8 - len(values))], np.uint8).reshape(2, 2, 2)


def test_voxels_by_label():
    facts = facts_of({"A": mask(1, 1, 2, 3, 4), "B": mask()})
    assert [r.voxels for r in facts.readings] == [(3, 2, 1, 1, 1), (8, 0, 0, 0, 0)]
    assert facts.foreground and facts.voxel_volume_ml == 0.001
    assert (facts.low, facts.high, facts.shape, facts.spacing_mm) == (0.0, 7.0, (2, 2, 2), (2.0, 1.0, 0.5))


def test_only_what_was_looked_at_counts():
    looked = np.array([True, False])[:, None, None]
    (reading,) = facts_of({"A": mask(1, 0, 0, 0, 2, 2)}, {"A": looked}).readings
    assert reading.voxels == (3, 1, 0, 0, 0) and reading.rated == 0.5


def test_unknown_is_no_foreground_and_a_group_is():
    assert not facts_of({"A": mask(4, 4)}).foreground
    assert facts_of({"A": mask(3)}).foreground


def test_equal_readings_have_equal_digests():
    whole = np.ones((2, 1, 1), bool)
    half = np.array([True, False])[:, None, None]
    masks = {"A": mask(1), "B": mask(1), "C": mask(2), "D": mask(1), "E": mask(1, 0, 0, 0, 2)}
    found = {r.rater: r.sha256 for r in facts_of(masks, {"D": half, "E": half}).readings}
    assert found["A"] == found["B"] != found["C"]
    assert found["D"] == found["E"] != found["A"]  # they differ where neither looked
    assert found["D"] != {r.rater: r.sha256 for r in facts_of(masks, {"D": whole}).readings}["D"]


def test_the_digest_of_an_image_knows_shape_and_type():
    image = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    digest = facts_of({"A": mask()}).sha256
    assert digest == hashlib.sha256(b"(2, 2, 2)<i2" + image.tobytes()).hexdigest()
    assert digest != facts_of({"A": mask()}, image=image.astype(np.int32)).sha256


def test_a_case_without_image():
    facts = facts_of({"A": mask(1)}, image=np.zeros((0, 2, 2, 2), np.int16), spacing=None)
    assert facts.sha256 == "" and math.isnan(facts.low) and math.isnan(facts.voxel_volume_ml)
