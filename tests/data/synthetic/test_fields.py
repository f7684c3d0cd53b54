"""Random textures have the statistics that their docstrings promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from probseg.data.synthetic.fields import cell_walls, smooth_field


def test_a_field_is_standard_normal_at_a_voxel_even_with_few_waves():
    axes = (np.array([0.0]), np.array([3.0]), np.array([-7.0]))
    values = [float(smooth_field(np.random.default_rng(k), axes, 10.0, waves=3)[0, 0, 0]) for k in range(1500)]
    assert stats.kstest(values, "norm").pvalue > 1e-3


def test_correlation_falls_with_distance_as_a_gaussian_of_the_length():
    axes = (np.zeros(1), np.zeros(1), np.array([0.0, 5.0, 10.0, 40.0]))
    fields = np.stack([smooth_field(np.random.default_rng(k), axes, 10.0)[0, 0] for k in range(3000)])
    measured = np.corrcoef(fields.T)[0]
    expected = np.exp(-0.5 * (axes[2] / 10.0) ** 2)  # 1, 0.882, 0.607, 0.0003
    assert measured == pytest.approx(expected, abs=0.05)


def test_a_field_does_not_depend_on_the_grid_but_on_the_place():
    coarse = smooth_field(np.random.default_rng(1), (np.arange(3.0), np.arange(0, 9.0, 3), np.arange(4.0)), 5.0)
    fine = smooth_field(np.random.default_rng(1), (np.arange(3.0), np.arange(0, 9.0), np.arange(4.0)), 5.0)
    assert fine[:, ::3] == pytest.approx(coarse, abs=1e-4)


def test_walls_are_thin_and_cells_are_of_the_size_asked_for():
    y, x = np.meshgrid(np.arange(0, 100, 0.5), np.arange(0, 100, 0.5), indexing="ij")
    points = np.stack([np.zeros(y.size), y.ravel(), x.ravel()], axis=-1)
    walls = cell_walls(np.random.default_rng(0), points, cell_mm=10.0, width_mm=0.5)
    assert walls.min() >= 0 and 0.95 < walls.max() <= 1
    coarser = cell_walls(np.random.default_rng(0), points, cell_mm=20.0, width_mm=0.5)
    assert walls.mean() / coarser.mean() == pytest.approx(2.0, rel=0.25)  # wall per area goes as 1 / size


def test_no_points_no_walls():
    assert cell_walls(np.random.default_rng(0), np.zeros((0, 3)), 10.0, 0.5).shape == (0,)
