from __future__ import annotations

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.report.viewer.grid import fit_grid


def test_what_fits_stays_whole() -> None:
    grid = fit_grid((4, 6, 8), np.zeros((4, 6, 8), bool), most=4 * 6 * 8)
    array = np.arange(4 * 6 * 8).reshape(4, 6, 8)
    np.testing.assert_array_equal(grid.take(array), array)
    assert grid.note == ""


def test_what_is_larger_is_cut_to_what_is_drawn_with_a_margin() -> None:
    inside = np.zeros((60, 40, 40), bool)
    inside[30, 20, 10:13] = True
    grid = fit_grid(inside.shape, inside, most=60 * 40 * 40 - 1)
    # 8 voxels to each side, within the scan
    assert (grid.start, grid.stop, grid.step) == ((22, 12, 2), (39, 29, 21), (1, 1, 1))
    assert grid.note == "cut from 60 x 40 x 40 to the 17 x 17 x 19 voxels around what is drawn or predicted"
    assert grid.take(inside).sum() == inside.sum()


def test_what_is_still_too_large_loses_every_second_voxel_of_the_longest_axis() -> None:
    inside = np.ones((4, 30, 20), bool)
    grid = fit_grid(inside.shape, inside, most=1200)
    assert grid.step == (1, 2, 1) and grid.take(inside).shape == (4, 15, 20)
    assert "every second row" in grid.note


@pytest.mark.parametrize("coarser", [1, 2])
def test_a_voxel_of_the_part_lies_where_it_lay_in_the_scan(coarser: int) -> None:
    geometry = Geometry((50, 40, 30), (2.5, 0.7, 0.8), (-10.0, 20.0, 5.0))
    inside = np.zeros(geometry.shape, bool)
    inside[20:22, 11:14, 9:12] = True
    grid = fit_grid(geometry.shape, inside, coarser, most=10_000)
    slices, rows, columns = np.meshgrid(*map(np.arange, geometry.shape), indexing="ij")
    lps = np.einsum("ij,j...->i...", geometry.affine, np.stack([slices, rows, columns, np.ones_like(rows)]))[:3]
    part = np.stack([grid.take(axis) for axis in lps])
    index = np.indices(part.shape[1:])[::-1]  # column, row, slice
    ras = np.einsum("ij,j...->i...", grid.affine(geometry), np.concatenate([index, np.ones_like(index[:1])]))[:3]
    np.testing.assert_allclose(ras * np.array([-1, -1, 1])[:, None, None, None], part)


def test_a_single_image_lies_in_the_axial_plane() -> None:
    grid = fit_grid((1, 3, 4), np.zeros((1, 3, 4), bool))
    affine = grid.affine(Geometry((3, 4), (0.5, 0.25)))
    # columns run to the left, -x; rows to the back, -y
    np.testing.assert_allclose(affine @ [1, 0, 0, 1], [-0.25, 0, 0, 1])
    np.testing.assert_allclose(affine @ [0, 1, 0, 1], [0, -0.5, 0, 1])
    np.testing.assert_allclose(grid.affine(Geometry((3, 4), None)) @ [0, 1, 0, 1], [0, -1, 0, 1])
