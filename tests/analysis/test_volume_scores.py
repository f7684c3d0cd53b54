from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import bootstrap, bootstrap_mean
from probseg.analysis.overlap import iou
from probseg.analysis.volume_scores import HEADLINE_FIGURES, VOLUME_FIGURES, CaseVolumes, volume_figures
from probseg.analysis.volume_structures import VolumeStructures
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid"), LabelClass(3, "effusion")),
    (LabelGroup("opacity", ("glass", "solid"), value=4),),
    unknown=255,
)
NAMES = ("x", "")


def case(draws, raters, voxel_ml=1e-6, overlap=math.nan):
    """One structure, which is the headline as well."""
    pairs = [np.repeat(np.array(v, dtype=float)[:, None], 2, axis=1) for v in (draws, raters)]
    return CaseVolumes(*pairs, voxel_ml, np.atleast_1d(overlap))


def values(cases, patients=None, **kwargs):
    found = volume_figures(cases, NAMES, patients or [str(k) for k in range(len(cases))], samples=50, **kwargs)
    return {f.metric: f.interval for f in found if f.structure == "" and f.site == ""}


def numbers(cases):
    return {name: interval.value for name, interval in values(cases).items()}


def test_figures_by_hand():
    # the check value of CRPS: {90, 110} against {100, 120} is 10
    one, two = case([90, 110], [100, 120], overlap=[0.5, 0.7]), case([30, 50, 70], [40, np.nan], overlap=0.2)
    found = values([one, two])
    assert tuple(found) == HEADLINE_FIGURES
    assert found["volume_error"].value == pytest.approx(((100 - 110) / 110 + (50 - 40) / 40) / 2)
    assert found["volume_error_size"].value == pytest.approx((10 / 110 + 10 / 40) / 2)
    assert found["volume_bias"].value == pytest.approx((150 - 150) / 150)
    crps_two = (10 + 10 + 30) / 3 - 0.5 * (4 * 20 + 2 * 40) / 9
    assert found["volume_crps"].value == pytest.approx((10 + crps_two) / 2)
    # the widest of two draws is 90 to 110, which holds one of two raters; 40 lies within 30 to 70
    assert found["coverage_95"].value == pytest.approx(2 / 3)
    assert found["width_95"].value == pytest.approx((20 + 40) / 2, abs=0.1)  # and some for whole voxels of 0.001 mm3
    assert (found["within_range"].value, found["within_range"].n) == (1.0, 1)  # a single rater has no range
    assert found["opacity_iou"].value == pytest.approx((0.6 + 0.2) / 2)
    assert found["volume_error"].n == 2


def test_nothing_drawn_adds_to_the_bias_and_has_no_relative_error():
    found = values([case([10, 10], [8, 12]), case([1, 3], [0, 0])])
    assert found["volume_error"].n == 1
    assert (found["volume_bias"].value, found["volume_bias"].n) == (pytest.approx(2 / 10), 2)
    assert found["within_range"].value == 0.5


def test_without_the_size_of_a_voxel_figures_without_unit_remain():
    known, unknown = numbers([case([9, 12], [10, 11], 1.0)]), numbers([case([9, 12], [10, 11], math.nan)])
    for name in HEADLINE_FIGURES:
        has_unit = name.startswith("width") or name in ("volume_bias", "volume_crps")
        assert math.isnan(unknown[name]) if has_unit else unknown[name] == pytest.approx(known[name], nan_ok=True)


def test_a_single_draw_has_no_coverage():
    found = values([case([10], [9, 11])])
    assert math.isnan(found["coverage_95"].value) and math.isnan(found["width_50"].value)
    assert found["volume_crps"].value == 1.0
    assert all(i.n == 0 for i in values([case([10], [np.nan])]).values())


def test_intervals_are_over_patients_and_sites_apart():
    rng = np.random.default_rng(0)
    cases = [case(rng.normal(100, 9, 20), rng.normal(100, 9, 3)) for _ in range(12)]
    patients, sites = [f"p{k // 2}" for k in range(12)], ["a", "b", ""] * 4
    found = volume_figures(cases, NAMES, patients, sites, samples=80, seed=3)
    by = {(f.metric, f.structure, f.site): f.interval for f in found}
    means = [(c.predicted[:, 0].mean(), c.observed[:, 0].mean()) for c in cases]
    errors = [(p - r) / r for p, r in means]
    assert by["volume_error", "x", ""] == bootstrap_mean(errors, patients, 80, 3)
    held = [(p - r, r) for p, r in means]
    assert by["volume_bias", "", ""] == bootstrap(np.array(held), patients, ratio, 80, 3)
    assert {site for _, _, site in by} == {"", "a", "b"}
    assert by["volume_error", "x", "a"] == bootstrap_mean(errors[::3], patients[::3], 80, 3)
    assert [f.metric for f in found[: len(VOLUME_FIGURES)]] == list(VOLUME_FIGURES)


@given(st.integers(0, 1000), st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_laws(seed, order):
    rng = np.random.default_rng(seed)
    draws, raters = rng.lognormal(3, 1, 5), rng.lognormal(3, 1, 3)
    plain = numbers([case(draws, raters)])
    assert numbers([case(draws[order], [*raters, np.nan])]) == pytest.approx(plain, nan_ok=True)  # a missing rater
    thrice = numbers([case(3 * draws, 3 * raters, 3e-6)])
    for name in VOLUME_FIGURES:
        unit = 3.0 if name.startswith("width") or name == "volume_crps" else 1.0
        assert thrice[name] == pytest.approx(unit * plain[name], rel=1e-5)
    brute = np.mean([abs(x - y) for x in draws for y in raters])
    brute -= np.mean([abs(x - y) for x in draws for y in draws]) / 2
    assert plain["volume_crps"] == pytest.approx(brute)


def test_structures_of_raters_and_draws_by_hand():
    structures = VolumeStructures.of(LABELS)
    assert (structures.names, structures.headline) == (("glass", "solid", "effusion", "opacity", ""), "opacity")
    leaves = np.array([[7.0, 1.0, 2.0, 4.0]])
    assert structures.of_draws(leaves).tolist() == [[1, 2, 4, 3, 3]]
    masks = np.array([[[0, 1, 1, 2]], [[4, 4, 0, 3]], [[1, 1, 1, 1]]], dtype=np.uint8)
    rated = np.ones(masks.shape, dtype=bool)
    rated[2, 0, 0] = False
    found = structures.of_raters(masks, rated, 0.5)
    assert found[0].tolist() == [1, 0.5, 0, 1.5, 1.5]
    assert np.isnan(found[1, :2]).all() and found[1, 2:].tolist() == [0.5, 1, 1]  # the group leaves glass open
    assert np.isnan(found[2]).all()  # a part is not the whole
    mode = np.array([[0, 2, 2, 3]])
    counts = structures.headline_overlap(mode, masks, rated)
    # first: {1,2,3} with {1,2}; second: {0,1} with {1,2}; third, without its first voxel: {1,2,3} with {1,2}
    assert iou(counts).tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3])


def test_without_opacity_the_headline_is_all_foreground():
    structures = VolumeStructures.of(LabelSet((LabelClass(0, "bg"), LabelClass(1, "a"), LabelClass(2, "b"))))
    assert structures.headline == "foreground"
    assert structures.of_draws(np.array([[5.0, 1.0, 2.0]])).tolist() == [[1, 2, 3]]
    empty = structures.headline_overlap(np.zeros((1, 2), int), np.zeros((1, 1, 2), np.uint8), None)
    assert math.isnan(iou(empty)[0])
