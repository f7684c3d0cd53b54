"""Blocks on a grid: what is cut out and turned comes back to where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from probseg.case import Geometry, reorient
from probseg.errors import ProbsegError
from probseg.io.placement import locate

ANGLE = np.deg2rad(25)
OBLIQUE = ((0.0, np.sin(ANGLE), np.cos(ANGLE)), (0.0, np.cos(ANGLE), -np.sin(ANGLE)), (1.0, 0.0, 0.0))
GRID = Geometry((4, 6, 5), (2.5, 0.7, 0.9), (-120.3, -80.5, 33.25), OBLIQUE)
VALUES = np.arange(1, 121).reshape(GRID.shape)
PATH = Path("mask.nrrd")


@st.composite
def boxes(draw):
    """The first and last index of a box within the grid."""
    pairs = [sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))) for n in GRID.shape]
    return [a for a, _ in pairs], [b + 1 for _, b in pairs]


@given(boxes(), st.permutations(range(3)), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_a_box_cut_out_and_turned_comes_back_to_its_place(box, order, flips):
    first, end = box
    inside = tuple(slice(a, b) for a, b in zip(first, end, strict=True))
    part = VALUES[inside]
    origin = tuple((GRID.affine @ [*first, 1])[:3])
    cut = Geometry(part.shape, GRID.spacing, origin, GRID.direction)
    goal = np.asarray(GRID.direction)[:, list(order)] * np.where(flips, -1.0, 1.0)
    block, stored = reorient(part, cut, tuple(map(tuple, goal)))
    place = locate(stored.affine, stored.shape, GRID, PATH)
    back = np.zeros_like(VALUES)
    back[place.target] = place.turn(block)
    expected = np.zeros_like(VALUES)
    expected[inside] = part
    assert_array_equal(back, expected)


def moved(voxels, axis=0, spacing=GRID.spacing, shape=GRID.shape):
    index = [0.0, 0.0, 0.0, 1.0]
    index[axis] = voxels
    return Geometry(shape, spacing, tuple((GRID.affine @ index)[:3]), GRID.direction)


def test_rounded_positions_are_let_pass():
    place = locate(moved(0.04).affine, GRID.shape, GRID, PATH)
    assert place.start == [0, 0, 0]


@pytest.mark.parametrize(
    ("message", "block"),
    [
        (r"up to 0\.06 voxels off", moved(0.06)),
        (r"up to 0\.50 voxels off", moved(0.5, axis=2)),
        (r"reaches beyond.*\[1, 0, 0\] to \[4, 5, 4\]", moved(1)),
        (r"reaches beyond.*\[0, -1, 0\]", moved(-1, axis=1)),
        (r"voxels off", moved(0, spacing=(2.5, 0.7, 1.8))),
        (r"voxels off", moved(0, spacing=(2.5, 0.35, 0.9))),
        (r"voxels off", Geometry(GRID.shape, GRID.spacing, GRID.origin)),
    ],
)
def test_what_lies_elsewhere_is_refused_with_the_distance(message, block):
    with pytest.raises(ProbsegError, match=rf"E_AFFINE_MISMATCH.*mask\.nrrd.*{message}"):
        locate(block.affine, block.shape, GRID, PATH)


def test_an_axis_turned_by_45_degrees_is_no_permutation():
    half = np.sqrt(0.5)
    direction = ((0.0, half, half), (0.0, half, -half), (1.0, 0.0, 0.0))
    grid = Geometry((4, 6, 5), (1.0, 1.0, 1.0))
    with pytest.raises(ProbsegError, match="E_AFFINE_MISMATCH"):
        locate(Geometry((4, 3, 3), (1.0, 1.0, 1.0), (0, 0, 0), direction).affine, (4, 3, 3), grid, PATH)
