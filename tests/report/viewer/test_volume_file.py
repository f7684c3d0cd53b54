from __future__ import annotations

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.report.viewer.volume_file import Quantised, encode, quantise_map, quantise_scan


def opened(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_a_volume_comes_back_with_its_axes_and_slope() -> None:
    numbers = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    image = opened(encode(Quantised(numbers, 0.5, -1.0), affine))
    assert image.shape == (4, 3, 2) and image.header.get_zooms() == (0.5, 0.5, 2.0)
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), numbers * 0.5 - 1.0)
    np.testing.assert_array_equal(image.affine, affine)


def test_readings_are_frames() -> None:
    numbers = np.arange(48, dtype=np.uint8).reshape(2, 2, 3, 4)
    image = opened(encode(Quantised(numbers), np.eye(4)))
    assert image.shape == (4, 3, 2, 2)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 1].transpose(2, 1, 0), numbers[1])


def test_the_same_array_gives_the_same_text() -> None:
    numbers = np.eye(5, dtype=np.int16)[None]
    assert encode(Quantised(numbers), np.eye(4)) == encode(Quantised(numbers.copy()), np.eye(4))


@given(st.lists(st.floats(0, 0.7), min_size=1, max_size=50))
def test_a_map_is_off_by_half_a_step_at_most(values: list[float]) -> None:
    found = quantise_map(np.array(values), 0.7)
    back = found.numbers * found.slope
    assert np.abs(back - values).max() <= 0.7 / 255 / 2 + 1e-12
    assert quantise_map(np.array([np.nan, 9.0]), 0.7).numbers.tolist() == [0, 255]


def test_hounsfield_units_stay_as_they_are_unless_space_is_short() -> None:
    image = np.array([-1024, -600, 40, 3071], np.int16)
    whole = quantise_scan(image, -1350, 240)
    assert whole.numbers.dtype == np.int16 and whole.numbers.tolist() == image.tolist() and whole.note == ""
    small = quantise_scan(image, -1350, 240, small=True)
    # 1590 HU in 255 steps of 6.24; beyond 240 all is white anyway
    assert small.numbers.dtype == np.uint8 and small.note == "intensities in steps of 6.24"
    np.testing.assert_allclose(small.numbers * small.slope + small.offset, [-1024, -600, 40, 240], atol=3.2)


@pytest.mark.parametrize("image", [np.array([0.1, 0.25, 0.9]), np.array([1.5, 7e5, 20.0])])
def test_other_intensities_keep_their_fractions(image: np.ndarray) -> None:
    found = quantise_scan(image, 0.0, 1.0)
    back = found.numbers * found.slope + found.offset
    np.testing.assert_allclose(back, image, atol=image.max() / 60000)


def test_hounsfield_units_with_fractions_are_rounded_and_say_so() -> None:
    found = quantise_scan(np.array([-999.6, 40.2]), -1350, 240)
    assert found.numbers.tolist() == [-1000, 40] and found.note == "intensities rounded to whole numbers"
