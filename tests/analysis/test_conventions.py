"""Conventions of papers: by hand where they differ, and against slow loops that count as the released code does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.conventions import (
    CCDM_2023,
    HPU_NET_2019,
    HPU_NET_2019_SUBSET_B,
    OURS,
    PHISEG_2019,
    PROBABILISTIC_UNET_2018,
    PROBABILISTIC_UNET_2018_CITYSCAPES,
    SSN_2020,
    conventional_energy_distance,
    conventional_matched_overlap,
)
from probseg.analysis.energy import generalized_energy_distance, hungarian_matched_iou
from probseg.analysis.overlap import dice
from probseg.errors import ProbsegError

Y = np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
LIDC = (PROBABILISTIC_UNET_2018, HPU_NET_2019, PHISEG_2019, SSN_2020, CCDM_2023)


def ged(readings, masks, convention, classes=2, rated=None) -> float:
    return conventional_energy_distance(np.array(readings), np.array(masks), classes, convention, rated)


def test_two_empty_masks_count_one_or_nought_or_are_left_out():
    empty = [[0, 0, 0, 0], [0, 0, 0, 0]]
    # S empty twice, Y 1100 and empty. Counting 1: d(S,Y) = 1, 0 twice -> 1/2; d(S,S) = 0; d(Y,Y) = 0, 1, 1, 0 -> 1/2
    assert ged(empty, Y, replace(OURS, absent=1.0)) == pytest.approx(1 - 0 - 1 / 2)
    # Counting 0, two empty masks are at distance 1, even from themselves: d(S,Y) = 1; d(S,S) = 1; d(Y,Y) = 3/4
    assert ged(empty, Y, replace(OURS, absent=0.0)) == pytest.approx(2 - 1 - 3 / 4)
    # Left out, nothing remains among readings
    assert math.isnan(ged(empty, Y, replace(OURS, absent=math.nan)))
    # S 1000 and empty: d(S,Y) = 1/2, 1, 1, - -> 5/6; d(S,S) = 0, 1, 1, - -> 2/3; d(Y,Y) likewise 2/3
    some = [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert ged(some, Y, replace(OURS, absent=math.nan)) == pytest.approx(5 / 3 - 4 / 3)
    # counting 1: 5/8, 1/2, 1/2
    assert ged(some, Y, OURS) == pytest.approx(10 / 8 - 1)


def test_a_class_in_neither_mask_is_left_out_of_the_mean_over_classes():
    one, other = [[1, 1, 0, 0]] * 2, [[1, 0, 0, 0]] * 2
    # class 1: IoU 1/2; class 2 is in neither. Ours: (1/2 + 1)/2; Cityscapes: 1/2; counted 0: 1/4 and 1/2 with itself
    assert ged(one, other, OURS, 3) == pytest.approx(2 * (1 - 3 / 4))
    cityscapes = replace(PROBABILISTIC_UNET_2018_CITYSCAPES, readings=None)
    assert ged(one, other, cityscapes, 3) == pytest.approx(2 * (1 - 1 / 2))
    assert ged(one, other, replace(OURS, absent=0.0), 3) == pytest.approx(2 * (1 - 1 / 4) - 2 * (1 - 1 / 2))
    # and a convention that counts class 1 alone sees no other
    assert ged(one, other, replace(OURS, classes=(1,)), 3) == pytest.approx(2 * (1 - 1 / 2))


def test_self_pairs_and_dice():
    readings, masks = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.array([[1, 1, 0, 0], [1, 1, 1, 0]])
    assert ged(readings, masks, OURS) == pytest.approx(1 / 2)
    assert ged(readings, masks, replace(OURS, self_pairs=False)) == pytest.approx(-1 / 6)
    # Dice distances: 0, 1/5, 1, 1 -> 11/20; d(S,S) -> 1/2; d(Y,Y) -> 1/10
    assert ged(readings, masks, replace(OURS, overlap=dice)) == pytest.approx(22 / 20 - 1 / 2 - 1 / 10)


def test_an_absent_reader_is_an_empty_mask_in_the_lidc_crops():
    masks = np.array([[1, 1, 0, 0]] * 3 + [[0, 0, 0, 0]])
    rated = np.ones((4, 4), dtype=bool)
    rated[3] = False
    same = np.tile(masks, (25, 1))  # so that the first 16 are a set of the same shares
    for convention in LIDC:
        # The fourth is empty: a model that leaves out one in four is perfect
        assert ged(same, masks, convention, rated=rated) == pytest.approx(0)
        assert ged(same, masks, convention) == ged(same, masks, convention, rated=rated)
    # For ours the fourth is absent: d(S,Y) = 1/4, d(S,S) = 2 * 3/16, d(Y,Y) = 0
    assert ged(same, masks, OURS, rated=rated) == pytest.approx(2 / 4 - 3 / 8)
    # and without stand-in there are three raters, which these data never have
    assert math.isnan(ged(same, masks, replace(CCDM_2023, absent_is_empty=False), rated=rated))


def test_which_images_are_left_out():
    readings, empty = np.ones((100, 4), int), np.zeros((4, 4), int)
    three = empty.copy()
    three[:3, 0] = 1
    four = empty.copy()
    four[:, 0] = 1
    for convention in LIDC:
        assert math.isnan(ged(readings, empty, convention))
        assert not math.isnan(ged(readings, three, convention))
    assert math.isnan(ged(readings, three, HPU_NET_2019_SUBSET_B))
    assert not math.isnan(ged(readings, four, HPU_NET_2019_SUBSET_B))
    assert ged(readings, empty, OURS) == 2.0


def test_only_so_many_readings_count_and_fewer_are_refused():
    masks = np.array([[1, 1, 0, 0]] * 4)
    readings = np.concatenate([np.repeat(masks, 4, axis=0), np.zeros((84, 4), int)])
    assert ged(readings, masks, HPU_NET_2019) == 0
    assert ged(readings, masks, PHISEG_2019) > 0.1
    assert conventional_matched_overlap(readings, masks, 2, HPU_NET_2019) == 1
    assert conventional_matched_overlap(readings, masks, 2, CCDM_2023) == pytest.approx(0.16)
    with pytest.raises(ProbsegError, match="counts 100 readings, but there are 16"):
        ged(readings[:16], masks, PHISEG_2019)
    with pytest.raises(ProbsegError, match=r"labels in 1\.\.1, but 2 is not"):
        ged(readings, masks, replace(OURS, classes=(1, 2)))


def test_a_pair_without_overlap_cannot_be_matched():
    left_out = replace(OURS, absent=math.nan)
    assert math.isnan(conventional_matched_overlap(np.zeros((2, 4), int), Y, 2, left_out))
    assert conventional_matched_overlap(np.zeros((2, 4), int), Y, 2, OURS) == 0.5


def phiseg_distance(a: np.ndarray, b: np.ndarray, classes: int) -> float:
    """A label in neither counts 1 and in one 0, and the sum is divided by the number of foreground labels."""
    total = 0.0
    for c in range(1, classes):
        x, y = a == c, b == c
        if not x.any() and not y.any():
            total += 1
        elif x.any() and y.any():
            total += (x & y).sum() / (x | y).sum()
    return 1 - total / (classes - 1)


def cityscapes_distance(a: np.ndarray, b: np.ndarray, classes: int) -> float:
    """A label in neither is NaN, and the mean leaves it out."""
    scores = [((a == c) & (b == c)).sum() / u for c in range(1, classes) if (u := ((a == c) | (b == c)).sum())]
    return 1 - float(np.mean(scores)) if scores else math.nan


@given(st.integers(0, 1000), st.integers(2, 4))
def test_equal_to_the_loops_of_the_released_code(seed, classes):
    rng = np.random.default_rng(seed)
    readings, masks = rng.integers(0, classes, (6, 5)), rng.integers(0, classes, (4, 5))
    for distance, convention in (
        (phiseg_distance, PHISEG_2019),
        (cityscapes_distance, PROBABILISTIC_UNET_2018_CITYSCAPES),
    ):
        convention = replace(convention, readings=6, drawn_by=0)
        sets = (readings, masks), (readings, readings), (masks, masks)
        sy, ss, yy = (np.nanmean([[distance(a, b, classes) for b in y] for a in x]) for x, y in sets)
        assert ged(readings, masks, convention, classes) == pytest.approx(2 * sy - ss - yy, abs=1e-12)


@given(st.integers(0, 1000))
def test_ours_is_ours_and_a_full_lidc_image_is_the_same_to_all(seed):
    rng = np.random.default_rng(seed)
    readings, masks = rng.integers(0, 2, (100, 6)), rng.integers(0, 2, (4, 6))
    masks[0, 0] = 1
    expected = generalized_energy_distance(readings, masks, 2)
    assert ged(readings, masks, OURS) == pytest.approx(expected, abs=1e-12)
    unbiased = generalized_energy_distance(readings, masks, 2, unbiased=True)
    assert ged(readings, masks, replace(OURS, self_pairs=False)) == pytest.approx(unbiased, abs=1e-12)
    for convention in (PHISEG_2019, SSN_2020, CCDM_2023):
        assert ged(readings, masks, convention) == pytest.approx(expected, abs=1e-12)
        matched = conventional_matched_overlap(readings, masks, 2, convention)
        assert matched == pytest.approx(hungarian_matched_iou(readings, masks, 2), abs=1e-12)
