"""Hounsfield units are told from grey values by what a chest CT cannot lack."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.errors import ProbsegError
from probseg.importing.public.intensities import kind_of, to_hu


@pytest.mark.parametrize(
    ("numbers", "kind"), [((-500, 0), "hu"), ((-3024, 3071), "hu"), ((0, 64), "grey"), ((3, 255), "grey")]
)
def test_kinds_at_their_borders(numbers, kind):
    assert kind_of(np.array(numbers, float), "x") == kind


@pytest.mark.parametrize("numbers", [(-499, 0), (0, 63), (0, 256), (0, 1), (24, 4095), (-1, 255)])
def test_other_numbers_are_refused(numbers):
    with pytest.raises(ProbsegError, match=f"E_NOT_HU: x holds numbers from {numbers[0]} to {numbers[1]}"):
        kind_of(np.array(numbers, float), "x")


def test_grey_values_return_to_their_window_within_half_a_shade():
    hu = np.arange(-1250, 251)
    grey = np.rint((hu + 1250) / 1500 * 255).astype(np.uint8)
    assert np.abs(to_hu(grey, (-1250, 250)) - hu).max() <= 1500 / 255 / 2 + 0.5
