"""Geometry and cases: hand-worked volumes, and the law that turning an array moves no voxel."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from probseg.case import Case, Geometry, reorient, to_canonical
from probseg.errors import ProbsegError

CANONICAL = Geometry((2, 2, 2), (1.0, 1.0, 1.0)).direction

signed_permutations = st.tuples(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1.0, -1.0])] * 3))
shapes = st.tuples(*[st.integers(1, 5)] * 3)
tilts = st.sampled_from([0.0, 0.2, 0.5])


def geometry_of(order, signs, shape, tilt):
    """A signed permutation of the axes, turned about z; spacing 2.5, 0.7, 0.8 mm."""
    turn = np.array([[math.cos(tilt), -math.sin(tilt), 0], [math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[list(order)] * signs * (2.5, 0.7, 0.8)
    affine[:3, 3] = (10.5, -20.25, 30.0)
    return Geometry.from_affine(shape, affine)


def places(array, geometry):
    """Value to LPS position of its voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return dict(zip(array.ravel().tolist(), xyz, strict=True))


# Geometry -------------------------------------------------------------------------------------------------------------


def test_volume_of_a_voxel():
    assert Geometry((2, 3, 4), (2.5, 0.5, 0.8)).voxel_volume_ml == pytest.approx(0.001)  # 2.5 * 0.5 * 0.8 = 1 mm3
    assert Geometry((3, 4), (0.5, 0.8), slice_thickness_mm=2.5).voxel_volume_ml == pytest.approx(0.001)
    assert math.isnan(Geometry((3, 4), (0.5, 0.8)).voxel_volume_ml)
    assert math.isnan(Geometry((3, 4), None).voxel_volume_ml)


def test_the_affine_leads_from_slice_row_column_to_left_posterior_superior():
    g = Geometry((9, 9, 9), (2.5, 0.5, 0.75), (1.0, 2.0, 3.0))
    # one slice up is +z, one row down is +y, one column on is +x
    assert_allclose(g.affine @ (2, 4, 8, 1), (1 + 8 * 0.75, 2 + 4 * 0.5, 3 + 2 * 2.5, 1))


@given(signed_permutations, shapes, tilts)
def test_an_affine_and_its_geometry_say_the_same(permutation, shape, tilt):
    g = geometry_of(*permutation, shape, tilt)
    again = Geometry.from_affine(shape, g.affine)
    assert_allclose(again.affine, g.affine, atol=1e-12)
    assert again.close_to(g)
    assert g.voxel_volume_ml == pytest.approx(2.5 * 0.7 * 0.8 / 1000)


@pytest.mark.parametrize(
    ("code", "shape", "spacing"),
    [
        ("E_NDIM", (4,), (1.0,)),
        ("E_NDIM", (1, 2, 3, 4), (1.0,) * 4),
        ("E_BAD_SPACING", (2, 3, 4), (1.0, 1.0)),
        ("E_BAD_SPACING", (2, 3, 4), (1.0, 1.0, 0.0)),
        ("E_BAD_SPACING", (2, 3, 4), (1.0, 1.0, -1.0)),
        ("E_BAD_SPACING", (2, 3, 4), (1.0, 1.0, math.nan)),
    ],
)
def test_a_geometry_that_cannot_be(code, shape, spacing):
    with pytest.raises(ProbsegError, match=code):
        Geometry(shape, spacing)


def test_an_affine_that_cannot_be():
    flat = np.eye(4)
    flat[:, 1] = flat[:, 0]
    for affine in (np.diag([1.0, 0.0, 1.0, 1.0]), flat, np.full((4, 4), np.nan)):
        with pytest.raises(ProbsegError, match="E_BAD_AFFINE"):
            Geometry.from_affine((2, 2, 2), affine)
    with pytest.raises(ProbsegError, match="E_NO_SPACING"):
        _ = Geometry((2, 2), (1.0, 1.0)).affine


def test_close_geometries_name_the_same_voxels():
    g = Geometry((100, 50, 50), (2.0, 1.0, 1.0))
    assert g.close_to(g)
    assert g.close_to(dataclasses.replace(g, origin=(0.0009, 0.0, 0.0)))
    assert not g.close_to(dataclasses.replace(g, origin=(0.0011, 0.0, 0.0)))
    # 2e-5 mm a slice is 2e-3 mm over a hundred
    assert not g.close_to(dataclasses.replace(g, spacing=(2.00002, 1.0, 1.0)))
    assert not g.close_to(dataclasses.replace(g, shape=(100, 50, 51)))
    flat = Geometry((4, 4), (1.0, 1.0))
    assert flat.close_to(flat) and not flat.close_to(Geometry((4, 4), None))
    assert Geometry((4, 4), None).close_to(Geometry((4, 4), None))
    assert not flat.close_to(Geometry((4, 4), (1.0, 1.1)))


# Turning --------------------------------------------------------------------------------------------------------------


@given(signed_permutations, signed_permutations, shapes, tilts)
def test_turning_keeps_every_voxel_in_its_place(permutation, goal, shape, tilt):
    g = geometry_of(*permutation, shape, tilt)
    array = np.arange(math.prod(shape)).reshape(shape)
    turned, there = reorient(array, g, geometry_of(*goal, shape, 0.0).direction)
    assert turned.shape == there.shape
    assert turned.flags.c_contiguous
    before, after = places(array, g), places(turned, there)
    assert before.keys() == after.keys()
    for value, xyz in before.items():
        assert_allclose(after[value], xyz, atol=1e-9)


@given(signed_permutations, shapes, tilts)
def test_turning_to_canonical_and_back_is_exact(permutation, shape, tilt):
    g = geometry_of(*permutation, shape, tilt)
    array = np.arange(math.prod(shape)).reshape(shape)
    canonical, there = to_canonical(array, g)
    # the axes run mostly along superior, posterior and left
    assert (np.diag(np.asarray(CANONICAL).T @ np.asarray(there.direction)) > 0.8).all()
    again, still = to_canonical(canonical, there)
    assert_array_equal(again, canonical)
    assert still == there
    back, home = reorient(canonical, there, g.direction)
    assert_array_equal(back, array)
    assert home.close_to(g)


def test_further_axes_come_along():
    g = geometry_of([2, 0, 1], (-1.0, 1.0, -1.0), (2, 3, 4), 0.0)
    array = np.arange(48).reshape(2, 3, 4, 2)
    both = to_canonical(array, g)[0]
    for c in range(2):
        assert_array_equal(both[..., c], to_canonical(array[..., c], g)[0])


def test_an_image_of_two_dimensions_is_not_turned():
    array, g = np.arange(6).reshape(2, 3), Geometry((2, 3), (1.0, 1.0))
    turned, there = to_canonical(array, g)
    assert_array_equal(turned, array)
    assert there is g


# Case -----------------------------------------------------------------------------------------------------------------


def case_of(**changes):
    values = {
        "case_id": "c1",
        "patient_id": "p1",
        "site": "s",
        "image": np.zeros((2, 3, 4), np.int16),
        "masks": {"A": np.ones((2, 3, 4), np.uint8), "B": np.zeros((2, 3, 4), np.uint8)},
        "geometry": Geometry((2, 3, 4), (1.0, 1.0, 1.0)),
    }
    return Case(**{**values, **changes})


def test_a_mask_of_another_shape_is_refused_by_rater():
    with pytest.raises(ProbsegError, match="rater 'C' of case 'c1' has shape \\(2, 4, 3\\) but the image has"):
        case_of(masks={"C": np.zeros((2, 4, 3), np.uint8)})


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 4), (1, 1, 2, 3, 4)])
def test_an_image_of_another_shape_is_refused(shape):
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        case_of(image=np.zeros(shape))


def test_channels_stand_before_space():
    assert case_of(image=np.zeros((3, 2, 3, 4))).image.shape == (3, 2, 3, 4)


def test_no_word_on_what_was_rated_means_all_of_it():
    case = case_of(rated={"B": np.array([True, False]).reshape(2, 1, 1)})
    assert case.rated_by("A").all()
    assert case.rated_by("B").shape == (2, 3, 4)
    masks, rated = case.stacked()
    assert masks.dtype == np.uint8
    assert [m.max() for m in masks] == [1, 0]
    # 24 voxels, of which B saw the first slice
    assert [int(r.sum()) for r in rated] == [24, 12]
