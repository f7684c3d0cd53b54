import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.surfaces import surface, surface_distance

MASK = hnp.arrays(bool, (3, 5, 6))


def test_two_rods_by_hand():
    a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]])
    # every voxel touches the outside; a to b: 0, 0; b to a: 0, 0, 1, 2 steps of half a millimetre
    assert surface_distance(a, b, (1.0, 0.5), 100) == pytest.approx(1.0)
    assert surface_distance(a, b, (1.0, 0.5), None) == pytest.approx(1.5 / 6)
    # 95th percentile of 0, 0, .5, 1 lies at 2.85 of 3 steps: .5 + .85 * .5
    assert surface_distance(a, b, (1.0, 0.5)) == pytest.approx(0.925)


def test_the_inside_is_no_surface():
    a = np.zeros((7, 7), bool)
    a[1:6, 1:6] = True
    outline = surface(a, (2.0, 1.0))
    assert outline is not None
    assert len(outline.points) == 16
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


@given(MASK, MASK, st.sampled_from([(1.0, 1.0, 1.0), (5.0, 0.7, 0.7)]), st.sampled_from([None, 50, 95, 100]))
def test_symmetric_and_nought_for_the_same_mask(a, b, spacing, percentile):
    forth, back = surface_distance(a, b, spacing, percentile), surface_distance(b, a, spacing, percentile)
    assert forth == pytest.approx(back, nan_ok=True)
    if a.any():
        assert surface_distance(a, a, spacing, percentile) == 0.0
    if a.any() and b.any():
        assert surface_distance(a, b, [2 * s for s in spacing], percentile) == pytest.approx(2 * forth)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's own
@pytest.mark.parametrize("seed", range(5))
def test_monai(seed):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    spacing = (3.0, 0.8, 1.1)
    a, b = (ndimage.gaussian_filter(rng.normal(size=(10, 24, 20)), 2) > 0.03 for _ in range(2))
    one_hot = [torch.from_numpy(np.stack([~m, m])[None]).float() for m in (a, b)]
    for percentile in (50, 95, 100):
        theirs = metrics.compute_hausdorff_distance(*one_hot, percentile=percentile, spacing=spacing)
        assert surface_distance(a, b, spacing, percentile) == pytest.approx(float(theirs), rel=1e-5)
    mean = metrics.compute_average_surface_distance(*one_hot, symmetric=True, spacing=spacing)
    assert surface_distance(a, b, spacing, None) == pytest.approx(float(mean), rel=1e-5)
