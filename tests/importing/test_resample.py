"""Label maps on the grid of their image: hand-worked, laws, and SimpleITK as oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.importing.resample import resample_labels


def grid(shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    return Geometry(shape, spacing, origin)


def test_a_row_by_hand():
    """Centres at 0, 1, 2, 3 mm become centres at 0.25, 0.75, ... of half the spacing.

    Value 5 lies at 1 mm and 2 mm. Its weight at 0.25 is 0.25, at 0.75 it is 0.75; at 2.25 it is 0.75, at 2.75 0.25.
    """
    mask = np.zeros((2, 2, 4), np.uint8)
    mask[:, :, 1:3] = 5
    target = grid((2, 2, 8), (1.0, 1.0, 0.5), (-0.25, 0.0, 0.0))
    made = resample_labels(mask, grid(mask.shape), target, "it")
    assert made.dtype == np.uint8
    assert made[0, 0].tolist() == [0, 0, 5, 5, 5, 5, 0, 0]


def test_the_border_of_the_grid_is_half_a_voxel_out():
    """A voxel reaches half its length beyond its centre; behind that there is background."""
    mask = np.full((2, 2, 2), 3, np.int16)
    mask[0, 0, 0] = 0
    target = grid((2, 2, 12), (1.0, 1.0, 0.25), (-0.875, 0.0, 0.0))
    made = resample_labels(mask, grid(mask.shape), target, "it")
    assert made[1, 1].tolist() == [0, 0, *[3] * 8, 0, 0]


@given(st.integers(0, 2**32 - 1))
def test_its_own_grid_changes_nothing_and_doubling_comes_back(seed):
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 4, (3, 4, 5)).astype(np.uint16) * 100
    mask[0, 0, 0] = 100
    own = grid(mask.shape, (2.0, 0.5, 0.75), (-3.0, 8.0, 1.5))
    assert_array_equal(resample_labels(mask, own, own, "it"), mask)
    shifted = grid((3, 4, 5), (2.0, 0.5, 0.75), (-3.0 + 0.75, 8.0, 1.5))
    if mask[:, :, 1:].any():
        assert_array_equal(resample_labels(mask, own, shifted, "it")[:, :, :-1], mask[:, :, 1:])


def test_another_orientation_of_space(tmp_path):
    """Against SimpleITK: the class of the greatest linear weight, an oblique grid into an upright one."""
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(1)
    smooth = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(rng.normal(size=(12, 14, 16)).astype("f4")), 1.5)
    values = sitk.GetArrayFromImage(smooth)
    mask = np.digitize(values, np.quantile(values, [0.5, 0.8])).astype(np.uint8)
    c, s = np.cos(0.3), np.sin(0.3)
    direction = tuple(tuple(row) for row in (np.array([[0, -s, c], [0, c, s], [1, 0, 0]])))
    source = Geometry(mask.shape, (2.0, 0.9, 0.8), (1.0, 2.0, 3.0), direction)
    target = grid((10, 13, 15), (2.3, 1.1, 0.7), (2.0, 4.0, 4.0))
    made = resample_labels(mask, source, target, "it")
    weights = []
    for value in range(3):
        one = sitk.GetImageFromArray((mask == value).astype("f4"))
        one.SetSpacing(source.spacing[::-1])
        one.SetOrigin(source.origin)
        one.SetDirection(np.array(direction)[:, ::-1].ravel().tolist())
        like = sitk.Image(target.shape[::-1], sitk.sitkFloat32)
        like.SetSpacing(target.spacing[::-1])
        like.SetOrigin(target.origin)
        outside = sitk.Resample(one, like, sitk.Transform(), sitk.sitkLinear, -1.0)
        weights.append(sitk.GetArrayFromImage(outside))
    weights = np.stack(weights)
    inside = weights.min(axis=0) >= 0
    ordered = np.sort(weights, axis=0)
    clear = inside & (ordered[-1] - ordered[-2] > 1e-4)
    assert clear.sum() > 500
    assert_array_equal(made[clear], weights.argmax(axis=0)[clear])


def test_a_mask_of_another_place():
    mask = np.ones((2, 2, 2), np.uint8)
    with pytest.raises(ProbsegError, match="E_AFFINE_MISMATCH: none of the 8 foreground voxels"):
        resample_labels(mask, grid(mask.shape), grid((3, 3, 3), origin=(50.0, 0.0, 0.0)), "it")
    assert not resample_labels(mask * 0, grid(mask.shape), grid((3, 3, 3), origin=(50.0, 0.0, 0.0)), "it").any()
