import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from probseg.analysis.surfaces import both_ways, surface, surface_dice, surface_distance

MASK = hnp.arrays(bool, (3, 5, 6))
SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (5.0, 0.7, 0.7)])


def directed(a, b, spacing):
    """From each surface voxel of a to the nearest of b, as MONAI and medpy have it: erosion, distance transform."""
    cross = ndimage.generate_binary_structure(a.ndim, 1)
    rim_a, rim_b = (m & ~ndimage.binary_erosion(m, cross) for m in (a, b))
    return ndimage.distance_transform_edt(~rim_b, sampling=spacing)[rim_a]


def smooth(seed, shape=(10, 24, 20), level=0.03):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) > level


def test_two_rods_by_hand():
    a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]])
    # every voxel touches the outside; a to b: 0, 0; b to a: 0, 0, 1, 2 steps of half a millimetre
    assert surface_distance(a, b, (1.0, 0.5), 100) == pytest.approx(1.0)
    assert surface_distance(a, b, (1.0, 0.5), None) == pytest.approx(1.5 / 6)
    # 95th percentile of 0, 0, .5, 1 lies at 2.85 of 3 steps: .5 + .85 * .5
    assert surface_distance(a, b, (1.0, 0.5)) == pytest.approx(0.925)
    # together 0, 0, 0, 0, .5, 1: at 4.75 of 5 steps
    assert surface_distance(a, b, (1.0, 0.5), pooled=True) == pytest.approx(0.875)
    # within half a millimetre: both of a, three of b
    assert surface_dice(a, b, (1.0, 0.5), 0.5) == pytest.approx(5 / 6)
    assert surface_dice(a, b, (1.0, 0.5), 0.0) == pytest.approx(4 / 6)


def test_a_tolerance_is_met_whatever_the_rounding_of_the_spacing():
    a, b = np.eye(1, 8, 0, dtype=bool), np.eye(1, 8, 3, dtype=bool)
    assert 3 * 0.7 > 2.1 - 1e-12
    assert surface_dice(a, b, (1.0, 0.7), 2.1) == 1.0


def test_the_inside_is_no_surface():
    a = np.zeros((7, 7), bool)
    a[1:6, 1:6] = True
    outline = surface(a, (2.0, 1.0))
    assert outline is not None
    assert len(outline) == 16
    b = np.zeros_like(a)
    b[3, 3] = True
    # from the centre to the ring: two columns of 1 mm; from a corner of the ring to the centre: sqrt(4^2 + 2^2)
    assert surface_distance(a, b, (2.0, 1.0), 0) == pytest.approx(2.0)
    assert surface_distance(a, b, (2.0, 1.0), 100) == pytest.approx(math.sqrt(20))


def test_no_distance_to_an_empty_mask():
    a, empty = np.ones((2, 2)), np.zeros((2, 2))
    for percentile in (95, None):
        assert math.isnan(surface_distance(a, empty, (1.0, 1.0), percentile))
        assert math.isnan(surface_distance(empty, empty, (1.0, 1.0), percentile))
    assert math.isnan(surface_dice(a, empty, (1.0, 1.0), 1.0))


@settings(max_examples=40)
@given(MASK, MASK, SPACINGS)
def test_the_definition(a, b, spacing):
    if not (a.any() and b.any()):
        assert math.isnan(surface_distance(a, b, spacing))
        return
    forth, back = directed(a, b, spacing), directed(b, a, spacing)
    both = np.concatenate([forth, back])
    for percentile in (50, 95, 100):
        larger = max(np.percentile(forth, percentile), np.percentile(back, percentile))
        assert surface_distance(a, b, spacing, percentile) == pytest.approx(larger)
        pooled = surface_distance(a, b, spacing, percentile, pooled=True)
        assert pooled == pytest.approx(np.percentile(both, percentile))
    assert surface_distance(a, b, spacing, None) == pytest.approx(both.mean())
    assert surface_dice(a, b, spacing, 1.0) == pytest.approx((both <= 1.0 + 1e-9).mean())


@settings(max_examples=30)
@given(MASK, MASK, SPACINGS, st.sampled_from([None, 50, 95, 100]))
def test_symmetric_and_nought_for_the_same_mask(a, b, spacing, percentile):
    forth, back = surface_distance(a, b, spacing, percentile), surface_distance(b, a, spacing, percentile)
    assert forth == pytest.approx(back, nan_ok=True)
    if a.any():
        assert surface_distance(a, a, spacing, percentile) == 0.0
        assert surface_dice(a, a, spacing, 0.0) == 1.0
    if a.any() and b.any():
        assert surface_distance(a, b, [2 * s for s in spacing], percentile) == pytest.approx(2 * forth)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 1.1), (0.5, 4.0, 0.5)])
def test_neighbours_first_finds_what_the_tree_finds(monkeypatch, spacing):
    """Large surfaces look at neighbours first; here every surface is large, and some of it is far away."""
    a, b = smooth(0), smooth(1)
    b[:, :12] = False
    tree = both_ways(surface(a, spacing), surface(b, spacing))
    monkeypatch.setattr("probseg.analysis.surfaces._FEW", 0)
    near = both_ways(surface(a, spacing), surface(b, spacing))
    for x, y, (one, other) in zip(tree, near, ((a, b), (b, a)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(y, directed(one, other, spacing), rtol=1e-12, atol=1e-12)
    line = np.arange(40) % 7 < 3
    flat = both_ways(surface(line, (0.5,)), surface(~line, (0.5,)))
    np.testing.assert_allclose(flat.forth, directed(line, ~line, (0.5,)))


def test_where_a_part_lies_in_the_image():
    a, b = smooth(0), smooth(1)
    spacing, parts = (2.0, 1.0, 1.0), []
    for mask in (a, b):
        cut = np.zeros_like(mask)
        cut[3:8, 5:20, 4:18] = mask[3:8, 5:20, 4:18]
        parts.append((cut, surface(cut[3:8, 5:20, 4:18], spacing, (3, 5, 4))))
    (whole_a, part_a), (whole_b, _) = parts
    found = both_ways(part_a, surface(whole_b, spacing))
    np.testing.assert_allclose(found.forth, directed(whole_a, whole_b, spacing))


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's own
@pytest.mark.parametrize("seed", range(3))
def test_monai(seed):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    spacing = (3.0, 0.8, 1.1)
    a, b = smooth(2 * seed), smooth(2 * seed + 1)
    one_hot = [torch.from_numpy(np.stack([~m, m])[None]).float() for m in (a, b)]
    for percentile in (50, 95, 100):
        theirs = metrics.compute_hausdorff_distance(*one_hot, percentile=percentile, spacing=spacing)
        # theirs are in single precision
        assert surface_distance(a, b, spacing, percentile) == pytest.approx(float(theirs), rel=1e-6)
    mean = metrics.compute_average_surface_distance(*one_hot, symmetric=True, spacing=spacing)
    assert surface_distance(a, b, spacing, None) == pytest.approx(float(mean), rel=1e-6)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs, of SciPy
@settings(max_examples=25)
@given(hnp.arrays(bool, (4, 6, 6)), hnp.arrays(bool, (4, 6, 6)), SPACINGS)
def test_surface_distance_lies_within_a_voxel(a, b, spacing):
    """DeepMind's elements lie at corners of our surface voxels, so the Hausdorff distances are a diagonal apart."""
    theirs = pytest.importorskip("surface_distance")
    if not (a.any() and b.any()):
        return
    a, b = np.pad(a, 1), np.pad(b, 1)
    distances = theirs.compute_surface_distances(a, b, spacing)
    hausdorff = theirs.compute_robust_hausdorff(distances, 100)
    diagonal = math.sqrt(sum(s**2 for s in spacing))
    assert abs(hausdorff - surface_distance(a, b, spacing, 100)) <= diagonal + 1e-9
