"""Energy distances through the metric: the check values of the definitions, and the NumPy twins as oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis import energy
from probseg.analysis.overlap import dice
from probseg.distribution import SegmentationDistribution
from probseg.metrics import EnergyDistances
from probseg.metrics.pair_counts import count_by_products, count_pairs


def sure_of(readings: torch.Tensor, num_classes: int, models: int = 1) -> SegmentationDistribution:
    """``(draws, batch, *space)`` labels as a distribution whose readings they are."""
    hot = torch.nn.functional.one_hot(readings.long(), num_classes).movedim(-1, 2).float()
    return SegmentationDistribution(20 * hot.unflatten(0, (models, -1)))


def compute(maps: torch.Tensor, masks: torch.Tensor, classes: int, rated: torch.Tensor | None = None, **kwargs):
    metric = EnergyDistances(classes, **kwargs)
    rated = torch.ones_like(masks, dtype=torch.bool) if rated is None else rated
    metric.update(sure_of(maps, classes), masks, rated)
    return {name: value.item() for name, value in metric.compute().items()}


# Y = {1100, 1110}, S = {1100, 0000} on a 1 x 4 image
MASKS = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 1, 0]]]], dtype=torch.uint8)
READINGS = torch.tensor([[[[1, 1, 0, 0]]], [[[0, 0, 0, 0]]]])
EXPECTED = {
    "ged_v": 1 / 2,
    "ged_u": -1 / 6,
    "ged_floor": 1 / 3,
    "hm_iou": 1 / 2,
    "d_max": (1 + 4 / 5) / 2,
    "d_match": 1 / 2,
    "diversity": 1.0,
    "rater_diversity": 1 / 3,
}


@pytest.mark.parametrize("models", [1, 2])
def test_hand_worked_values_whichever_axis_the_draws_are_on(models):
    metric = EnergyDistances(2)
    metric.update(sure_of(READINGS, 2, models), MASKS, torch.ones_like(MASKS, dtype=torch.bool))
    assert {k: v.item() for k, v in metric.compute().items()} == pytest.approx(EXPECTED, abs=1e-12)


def test_hand_worked_values_in_three_dimensions_and_under_autocast():
    readings, masks = READINGS.reshape(2, 1, 2, 1, 2), MASKS.reshape(1, 2, 2, 1, 2)
    assert compute(readings, masks, 2) == pytest.approx(EXPECTED, abs=1e-12)
    with torch.autocast("cpu", torch.bfloat16):
        assert compute(readings, masks, 2) == pytest.approx(EXPECTED, abs=1e-12)


def test_identical_sets_and_sets_without_anything():
    same = compute(MASKS.transpose(0, 1), MASKS, 2)
    assert same["ged_v"] == pytest.approx(0, abs=1e-12)
    assert same["hm_iou"] == 1
    nothing = torch.zeros_like(MASKS)
    empty = compute(nothing.transpose(0, 1), nothing, 2)  # both empty: distance 0
    assert (empty["ged_v"], empty["ged_u"], empty["hm_iou"], empty["rater_diversity"]) == (0, 0, 1, 0)


def test_one_draw_is_a_point():
    got = compute(READINGS[:1], MASKS, 2, readings=4)
    # d(S,Y) = 0, 1/3; d(Y,Y') distinct = 1/3
    assert got["ged_v"] == pytest.approx(2 / 6 - 1 / 6)
    assert got["ged_u"] == pytest.approx(2 / 6 - 0 - 1 / 3)
    assert got["diversity"] == 0
    assert got["ged_floor"] == pytest.approx(1 / 3 * (1 / 2 + 1 / 4))


def test_an_absent_rater_is_a_dropped_one_and_an_empty_mask_is_not():
    rated = torch.ones_like(MASKS, dtype=torch.bool)
    padded = torch.cat([MASKS, torch.zeros_like(MASKS[:, :1])], dim=1)
    absent = torch.cat([rated, torch.zeros_like(rated[:, :1])], dim=1)
    assert compute(READINGS, padded, 2, absent) == pytest.approx(EXPECTED)
    assert compute(READINGS, padded, 2)["rater_diversity"] == pytest.approx((1 / 3 + 1 + 1) / 3)


def test_one_rater_has_no_agreement_and_no_rater_no_figure():
    one = compute(READINGS, MASKS[:, :1], 2)
    assert math.isnan(one["rater_diversity"]) and math.isnan(one["ged_u"]) and math.isnan(one["ged_floor"])
    assert one["ged_v"] == pytest.approx(2 * 0.5 - 0.5)
    none = compute(READINGS, MASKS, 2, torch.zeros_like(MASKS, dtype=torch.bool))
    assert all(math.isnan(v) for v in none.values())


def random_maps(seed: int, n: int, classes: int, space: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(0, classes, (n, *space), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([(3, 5), (2, 3, 4)]), st.booleans())
def test_equal_to_the_numpy_definitions(seed, classes, space, partly):
    readings = random_maps(seed, 3, classes, space)
    masks = random_maps(seed + 1, 4, classes + 1, space).to(torch.uint8)  # label `classes` is a group: not rated
    rated = torch.rand(4, *space, generator=torch.Generator().manual_seed(seed)) < (0.6 if partly else 2)
    got = compute(readings[:, None], masks[None], classes, rated[None])
    s, y, r = readings.numpy(), masks.numpy(), rated.numpy()
    expected = {
        "ged_v": energy.generalized_energy_distance(s, y, classes, rated=r),
        "ged_u": energy.generalized_energy_distance(s, y, classes, unbiased=True, rated=r),
        "ged_floor": energy.energy_distance_floor(y, 3, classes, rated=r),
        "hm_iou": energy.hungarian_matched_iou(s, y, classes, rated=r),
        "d_max": energy.d_max(s, y, classes, rated=r),
        "d_match": energy.d_match(s, y, classes, rated=r),
    }
    assert {k: got[k] for k in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=20)
@given(st.permutations(range(4)), st.permutations(range(3)))
def test_the_order_of_raters_and_readings_is_irrelevant(raters, draws):
    masks, readings = random_maps(1, 4, 3, (4, 4)).to(torch.uint8), random_maps(2, 3, 3, (4, 4))
    a = compute(readings[:, None], masks[None], 3)
    b = compute(readings[list(draws)][:, None], masks[list(raters)][None], 3)
    assert a == pytest.approx(b, abs=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 4), st.booleans(), st.integers(1, 70))
def test_products_of_matrices_count_what_packed_bits_count(seed, classes, partly, block):
    """What a GPU does, here on the processor; absent raters and labels that are no leaf included."""
    readings = random_maps(seed, 3, classes, (60,)).to(torch.uint8)
    masks = random_maps(seed + 1, 4, classes + 1, (60,)).to(torch.uint8)
    rated = torch.rand(4, 60, generator=torch.Generator().manual_seed(seed)) < (0.6 if partly else 2)
    rated[seed % 4] &= seed % 3 > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probseg.metrics.pair_counts._BLOCK", block)
        products = count_by_products(readings, masks, classes, rated)
    packed = count_pairs(readings, masks, classes, rated)
    assert products.num_readings == packed.num_readings == 3
    for a, b in zip(products.counts, packed.counts, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(products.similarities(dice).sy, packed.similarities(dice).sy)


def test_large_counts_are_exact_in_a_bf16_validation():
    a = random_maps(0, 3, 2, (64, 64)).flatten(1)
    everywhere = torch.ones_like(a, dtype=torch.bool)
    alone = count_by_products(a, a, 2, everywhere)
    assert alone.counts.both.max() > 256
    with torch.autocast("cpu", torch.bfloat16):
        under = count_by_products(a, a, 2, everywhere)
    np.testing.assert_array_equal(under.counts.both, alone.counts.both)
