import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.volumes import crps, log_volume_ratios, structure_voxels


def test_crps_check_value():
    # E|X - y| = 10 and 20, half E|X - X'| = 5
    assert crps([90, 110], [100, 120]) == pytest.approx(10.0)


def test_crps_of_one_draw_is_the_absolute_error():
    assert crps([3.0], [1.0, 6.0]) == pytest.approx(2.5)
    assert math.isnan(crps([], [1.0]))
    assert math.isnan(crps([1.0], []))
    assert math.isnan(crps([1.0, math.nan], [1.0]))


NUMBERS = hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(-100, 100))


@given(NUMBERS, NUMBERS)
def test_crps_is_its_definition(x, y):
    definition = np.abs(x[:, None] - y).mean() - 0.5 * np.abs(x[:, None] - x).mean()
    assert crps(x, y) == pytest.approx(definition, abs=1e-9)
    assert crps(x, y) >= -1e-9


def test_crps_is_least_for_the_true_distribution():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    scores = {scale: crps(scale * rng.normal(size=2000), truth) for scale in (0.3, 1.0, 3.0)}
    assert min(scores, key=scores.get) == 1.0


def test_log_ratio_to_the_others_geometric_mean():
    # 8 against sqrt(2 * 2) = 2; 2 against sqrt(16) = 4
    np.testing.assert_allclose(log_volume_ratios(np.array([8.0, 2.0, 2.0])), np.log([4, 0.5, 0.5]))
    ratios = log_volume_ratios(np.array([[8.0, 2.0, 0.0, math.nan], [1.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(ratios[0], [math.log(4), -math.log(4), math.nan, math.nan])
    assert np.isnan(ratios[1]).all()


def test_a_part_is_never_given_out_as_the_whole():
    membership = [0, 1, -1]
    assert structure_voxels(np.array([5, 3, 0]), membership, True) == 3.0
    assert math.isnan(structure_voxels(np.array([5, 3, 1]), membership, True))
    assert math.isnan(structure_voxels(np.array([5, 3, 0]), membership, False))
