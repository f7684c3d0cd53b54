"""Means of what is known."""

from __future__ import annotations

import math

import numpy as np

from probseg.analysis.known import mean_known, mean_of_known


def test_what_is_not_known_does_not_count():
    table = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(mean_known(table), [2.0, 5.0, np.nan])
    np.testing.assert_array_equal(mean_known(table, axis=1), [1.0, 4.0])
    assert mean_of_known(table) == 3.0  # (1 + 3 + 5) / 3
    assert math.isnan(mean_of_known([])) and math.isnan(mean_of_known([math.nan]))
