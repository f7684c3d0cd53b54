"""QUBIQ's Dice at levels: what it assumes is told from what ``soft_dice`` does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.challenges.qubiq import level_dice
from probseg.analysis.softdice import soft_dice


def test_by_hand():
    masks = np.array([[1, 1, 0], [1, 0, 0]])  # share 1, 1/2, 0
    probability = np.array([0.95, 0.35, 0.15])
    # .1: {0,1,2} and {0,1}: 4/5; .2 and .3: {0,1} twice: 1; .4 and .5: {0} and {0,1}: 2/3; .6 to .9: {0} twice: 1
    assert level_dice(probability, masks) == pytest.approx((4 / 5 + 2 + 2 * 2 / 3 + 4) / 9)
    # above .5 only voxel 0 is left of the raters
    assert level_dice(probability, masks, at_least=False) == pytest.approx((4 / 5 + 2 + 2 / 3 + 5) / 9)


def test_a_value_at_a_level_belongs_to_it_whatever_its_type():
    masks = np.zeros((10, 1), int)
    masks[:7] = 1
    assert level_dice(np.array([0.7], np.float32), masks) == 1.0
    assert level_dice(np.array([0.7], np.float32), masks, at_least=False) == 1.0
    masks[3:7] = 0  # three of ten against .3: alike at every level, from .4 on both empty
    assert level_dice(np.array([0.3], np.float32), masks) == 1.0


def test_empty_levels_score_one_where_soft_dice_leaves_them_out():
    masks = np.array([[1, 0], [0, 0]])  # nobody is there above one half
    probability = np.array([0.55, 0.25])
    # .1 and .2: 2/3; .3 to .5: 1; .6 to .9 both empty
    assert level_dice(probability, masks) == pytest.approx((2 * 2 / 3 + 3 + 4) / 9)
    # above .5 nobody drew, and the prediction did
    assert soft_dice(probability, masks) == pytest.approx((2 * 2 / 3 + 2 + 0) / 5)
    assert level_dice(np.zeros(2), np.zeros((3, 2), int)) == 1.0
    assert math.isnan(level_dice(np.zeros(2), np.zeros((3, 2), int), np.zeros((3, 2), bool)))


def test_unrated_voxels_are_left_out():
    masks = np.array([[1, 1], [1, 0]])
    rated = np.array([[True, False], [True, False]])
    assert level_dice(np.array([1.0, 1.0]), masks, rated) == 1.0


@given(hnp.arrays(np.uint8, (6, 3, 4), elements=st.integers(0, 1)))
def test_the_raters_own_map_is_perfect(masks):
    assert level_dice(masks.mean(axis=0) + 1e-7, masks) == 1.0
