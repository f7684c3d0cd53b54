import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.image_scores import AGGREGATIONS, aggregated, image_scores, mean_pairwise_dice, volume_variation
from probseg.errors import ProbsegError


def test_aggregations_by_hand():
    image = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.5]])
    found = aggregated(image, image > 0, patch=2, quantile=0.5)
    assert tuple(found) == AGGREGATIONS
    assert found == pytest.approx(
        {"mean": 2 / 9, "region": 2 / 3, "sum": 2.0, "quantile": 0.5, "patch": (1 + 0.5 + 0.5) / 4}
    )
    nothing = aggregated(image, np.zeros((3, 3), bool))
    assert (nothing["region"], nothing["quantile"]) == (0, 0)
    assert nothing["patch"] == pytest.approx(2 / 9)  # a box of ten voxels is the whole of three


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([(7,), (5, 8), (3, 6, 5)]))
@settings(max_examples=30, deadline=None)
def test_the_largest_box_is_found_by_looking_at_all(seed, side, shape):
    image = np.random.default_rng(seed).random(shape)
    wide = tuple(min(side, n) for n in shape)
    boxes = np.lib.stride_tricks.sliding_window_view(image, wide)
    oracle = boxes.mean(axis=tuple(range(len(shape), 2 * len(shape)))).max()
    assert aggregated(image, image > 2, side)["patch"] == pytest.approx(oracle)


def test_readings_and_volumes_by_hand():
    maps = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    assert mean_pairwise_dice(maps, 2) == pytest.approx((0.8 + 0 + 0) / 3)
    assert math.isnan(mean_pairwise_dice(maps[:1], 2))
    assert volume_variation([[1.0, 0.0], [3.0, 0.0]]).tolist() == pytest.approx([2**0.5 / 2, 0.0])
    assert math.isnan(volume_variation([[1.0]])[0])
    scores = image_scores({"entropy": maps[0] * 0.5}, maps[0] > 0, maps, 2, np.array([[1.0], [3.0]]))
    assert scores["entropy_region"] == 0.5
    assert scores["reading_disagreement"] == pytest.approx(1 - 0.8 / 3)
    assert scores["volume_variation"] == pytest.approx(2**0.5 / 2)
    alone = image_scores({}, maps[0] > 0)
    assert all(math.isnan(v) for v in alone.values()) and len(alone) == 2
    assert image_scores({}, maps[0] > 0, np.zeros((2, 4), int), 2)["reading_disagreement"] == 0  # all say: nothing


def test_doubt_may_be_measured_by_what_there_is_to_doubt():
    image, none = np.full((2, 3), 0.5), np.zeros((2, 3), bool)
    found = image_scores({"entropy": image}, none, foreground=np.full((2, 3), 0.25))
    assert found["entropy_per_foreground"] == pytest.approx(3 / 1.5)
    assert image_scores({"entropy": image}, none, foreground=none)["entropy_per_foreground"] == 3
    assert "entropy_per_foreground" not in image_scores({"entropy": image}, none)


def test_strange_settings_are_refused():
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        aggregated(np.zeros((2, 2)), np.ones((2, 2), bool), patch=0)
