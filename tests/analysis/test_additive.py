"""Sums and counts."""

from __future__ import annotations

import numpy as np

from probseg.analysis.additive import as_pairs, ratio_of


def test_means_of_sums_leave_out_what_is_not_known():
    pairs = as_pairs(np.array([[1.0, np.nan], [2.0, 4.0], [3.0, np.nan]]))
    total = pairs.sum(axis=0)
    assert ratio_of(0)(total) == 2.0  # of all three
    assert ratio_of(2)(total) == 4.0  # of the one that is known
    assert np.isnan(ratio_of(2)(pairs[0]))  # of none
