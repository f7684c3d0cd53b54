from __future__ import annotations

import math

import numpy as np

from probseg.analysis.conformal import Absolute, ConformalIntervals
from probseg.evaluation.stored_promises import StoredPromises
from probseg.inference.volumes import VOLUME_COLUMNS, StructureVolume, structure_volumes, volume_rows
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid")),),
)


def test_volumes_of_classes_and_groups_by_hand() -> None:
    # 10 voxels of 0.5 mL; two draws, whose readings hold only what is most probable
    expected, readings = np.array([[6.0, 3.0, 1.0], [4.0, 3.5, 2.5]]), np.array([[9, 1, 0], [10, 0, 0]])
    glass, solid, opacity = structure_volumes(LABELS, expected, readings, np.array([8, 2, 0]), 0.5)
    assert (glass.structure, glass.mode_ml, opacity.mode_ml) == ("glass", 1.0, 1.0)
    assert (glass.draws_ml.tolist(), solid.draws_ml.tolist()) == ([1.5, 1.75], [0.5, 1.25])
    assert (opacity.structure, opacity.draws_ml.tolist(), opacity.mean_ml) == ("opacity", [2.0, 3.0], 2.5)
    assert opacity.readings_ml.tolist() == [0.5, 0.0]


def test_an_interval_holds_its_share_of_the_draws() -> None:
    # 99 draws and a rater make 100, of which 10 % lie below place 10
    volume = StructureVolume("x", np.arange(1.0, 100.0), np.zeros(99), 0.0)
    for level, ends in ((50, (25, 75)), (80, (10, 90)), (95, (2.5, 97.5))):
        np.testing.assert_allclose(volume.interval_ml(level), ends)


def test_whole_voxels_make_the_interval_of_a_tiny_structure_wider() -> None:
    volume = StructureVolume("x", np.full(50, 0.2), np.zeros(50), 0.0, voxel_ml=0.1)
    low, high = volume.interval_ml(95)  # two expected voxels: 0 to 5 are 98 % of what raters find
    assert low == 0.0 and 0.4 <= high <= 0.65


def test_one_draw_has_no_interval_and_no_voxel_size_no_volume() -> None:
    one = StructureVolume("x", np.array([3.0]), np.array([3.0]), 1.0)
    assert all(math.isnan(v) for v in one.interval_ml(95))
    assert one.to_dict()["intervals_ml"]["95"] == [None, None]
    (unknown, *_) = structure_volumes(LABELS, np.ones((4, 3)), np.ones((4, 3), int), np.ones(3, int), math.nan)
    assert unknown.to_dict()["mean_ml"] is None and unknown.to_dict()["draws_ml"] == [None] * 4
    assert math.isnan(unknown.interval_ml(50)[0])


def test_rows_fit_their_columns() -> None:
    volume = StructureVolume("x", np.array([3.0, 5.0]), np.array([2.0, 8.0]), 1.0)
    (row,) = volume_rows("a", [volume.to_dict()])
    named = dict(zip(VOLUME_COLUMNS, row, strict=True))
    assert (named["case_id"], named["class"], named["draws"], named["mean_ml"]) == ("a", "x", 2, 4.0)
    assert (named["low_50_ml"], named["high_50_ml"]) == (3.0, 5.0)
    assert (named["mode_ml"], named["readings_ml"]) == (1.0, 5.0)
    assert named["conformal_low_95_ml"] is None and named["percent_of_lung"] is None


def test_conformal_intervals_stand_beside_the_models_own() -> None:
    """Two draws of 3 and 5 mL make every interval 3 to 5; one is widened by 1 mL, one has no end."""
    one = ConformalIntervals(0.5, Absolute(), (1.0, 1.0), 9, {}, {})
    none = ConformalIntervals(0.95, Absolute(), (math.inf, math.inf), 9, {}, {})
    promises = StoredPromises({"x": {50: one, 95: none}}, "ab")
    volume = StructureVolume("x", np.array([3.0, 5.0]), np.array([2.0, 8.0]), 1.0)
    said = volume.to_dict(promises)
    assert said["conformal_ml"] == {"50": [2.0, 6.0], "95": [0.0, None]}
    assert said["intervals_ml"] == volume.to_dict()["intervals_ml"]
    (row,) = volume_rows("a", [said])
    named = dict(zip(VOLUME_COLUMNS, row, strict=True))
    ends = [named[f"conformal_{end}_{level}_ml"] for level in (50, 80, 95) for end in ("low", "high")]
    assert ends == [2.0, 6.0, None, None, 0.0, math.inf]
    other = StructureVolume("y", np.array([3.0, 5.0]), np.array([2.0, 8.0]), 1.0)
    assert other.to_dict(promises)["conformal_ml"] == {}  # nothing was fitted for it


def test_percent_of_the_lung_of_the_same_draw() -> None:
    """The opacity lies outside of the class lung, so the lung of a draw is 6 + 2 and 4 + 4 voxels; of air, none."""
    labels = LabelSet((LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "opacity")))
    expected = np.array([[2.0, 6.0, 2.0], [2.0, 4.0, 4.0]])
    lung, opacity = structure_volumes(labels, expected, np.zeros((2, 3), int), np.zeros(3, int), math.nan)
    assert lung.percents is not None and opacity.percents is not None
    assert (lung.percents.tolist(), opacity.percents.tolist()) == ([75.0, 50.0], [25.0, 50.0])
    assert opacity.to_dict()["percent_of_lung"] == {"mean": 37.5, "intervals": {"95": [25.0, 50.0]}}
    (row, _) = volume_rows("a", [v.to_dict() for v in (opacity, lung)])
    assert dict(zip(VOLUME_COLUMNS, row, strict=True))["percent_of_lung_high_95"] == 50.0
    (air, _) = structure_volumes(labels, expected * [1, 0, 0], np.zeros((2, 3), int), np.zeros(3, int), 1.0)
    assert air.to_dict()["percent_of_lung"]["mean"] is None
    assert "percent_of_lung" not in StructureVolume("x", np.ones(2), np.ones(2), 1.0).to_dict()
