"""A chest has the parts, the densities and the sides of a chest."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.data.synthetic.phantom import make_anatomy

GEOMETRY = Geometry((20, 96, 96), (10.0, 3.6, 3.6))


@pytest.fixture(scope="module")
def anatomy():
    return make_anatomy(np.random.default_rng(3), GEOMETRY)


def test_left_is_where_columns_run_to(anatomy):
    left, right = (np.nonzero(anatomy.lungs == k)[2].mean() for k in (1, 2))
    assert left > 48 > right


def test_lungs_hold_litres(anatomy):
    volume = (anatomy.lungs > 0).sum() * GEOMETRY.voxel_volume_ml
    assert 2500 < volume < 7500
    sides = [(anatomy.lungs == k).sum() for k in (1, 2)]
    assert 0.5 < sides[0] / sides[1] < 1.1  # the heart lies in the left one


def test_each_tissue_has_its_density(anatomy):
    hu = anatomy.compose()
    assert -900 < np.median(hu[anatomy.lungs > 0]) < -780
    assert np.median(hu[:, 0, :]) == -1000
    body = hu[(anatomy.depth_mm < -2) & (hu > -500)]
    assert ((body > -130) & (body < -70)).mean() > 0.1  # fat
    assert ((body > 0) & (body < 90)).mean() > 0.1  # muscle
    assert (body > 200).mean() > 0.03  # bone
    assert hu.max() < 1000
    assert (anatomy.lumen[anatomy.lungs == 0] > 0.9).any()  # windpipe
    assert np.median(hu[anatomy.lumen > 0.95]) < -950


def test_vessels_are_a_small_part_of_the_lung_and_vanish_in_consolidation(anatomy):
    inside = anatomy.lungs > 0
    assert 0.02 < anatomy.vessels[inside].mean() < 0.15
    assert not anatomy.vessels[~inside].any()
    filled = -anatomy.aerated * inside  # consolidation of 0 HU everywhere
    core = inside & (anatomy.aeration == 1) & (anatomy.wall == 0)
    seen, hidden = anatomy.compose(filled, 0.0), anatomy.compose(filled, 1.0)
    assert seen[core].max() > 35  # blood, were the lesion transparent
    assert np.abs(hidden[core]).max() < 1e-2


def test_every_patient_differs(anatomy):
    other = make_anatomy(np.random.default_rng(4), GEOMETRY)
    assert (other.lungs != anatomy.lungs).mean() > 0.01


@pytest.mark.parametrize("shape", [(2, 32, 32), (5, 40, 64)])
def test_small_and_oblong_grids_work(shape):
    anatomy = make_anatomy(np.random.default_rng(0), Geometry(shape, (5.0, 350 / shape[2], 350 / shape[2])))
    assert np.isfinite(anatomy.compose()).all()
    assert set(np.unique(anatomy.lungs)) == {0, 1, 2}
