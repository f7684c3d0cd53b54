import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.drawn_volumes import DrawnVolumes
from probseg.analysis.volume_agreement import icc
from probseg.analysis.volume_ceiling import icc_of_sums, volume_ceiling


def volumes(table, parties=("a", "b", "c", "prediction"), voxel_ml=1.0):
    n = len(table)
    names = tuple(f"{k}" for k in range(n))
    ml, lung = np.full(n, voxel_ml), np.full(table.shape, np.nan)
    return DrawnVolumes(names, names, ("",) * n, parties, ("nodule",), table[:, :, None], ml, lung, ~np.isnan(table))


def made(rng, n, bias=(0.0, 0.0, 0.0, 0.0), spread=2.0):
    return 60 + 10 * rng.normal(size=(n, 1)) + np.asarray(bias) + spread * rng.normal(size=(n, 4))


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_from_sums_it_is_the_same_correlation(seed, n, k):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, 1)) + rng.normal(size=(n, k))
    sums = np.concatenate([table.sum(0), [(table.mean(1) ** 2).sum(), (table**2).sum(), n]])
    assert icc_of_sums(sums) == pytest.approx(icc(table).value)
    assert np.isnan(icc_of_sums(np.zeros(k + 3)))


def test_each_place_is_the_correlation_with_the_model_in_it():
    table = made(np.random.default_rng(0), 20)
    found = {c.held_out: c for c in volume_ceiling(volumes(table), {"icc_2_1": 0.1}, samples=200)}
    own = icc(table[:, :3]).value
    places = [icc(np.where(np.arange(3) == h, table[:, [3]], table[:, :3])).value for h in range(3)]
    assert list(found) == ["", "a", "b", "c"]
    assert found["b"].model.value == pytest.approx(places[1])
    assert found[""].raters.value == pytest.approx(own)
    assert found[""].difference.value == pytest.approx(np.mean(places) - own)
    assert found[""].verdict == "non-inferior"


def test_a_biased_model_lowers_it_beyond_doubt():
    table = made(np.random.default_rng(1), 40, bias=(0, 0, 0, 15.0))
    (anybody, *_) = volume_ceiling(volumes(table), {"icc_2_1": 0.1}, samples=300)
    assert anybody.difference.high < -0.1
    assert anybody.verdict == "inferior"


def test_cases_that_somebody_did_not_read_do_not_count():
    table = made(np.random.default_rng(2), 12)
    gaps = table.copy()
    gaps[3, 1] = gaps[5, 3] = np.nan
    (found, *_) = volume_ceiling(volumes(gaps), {}, samples=50)
    assert found.raters.n == 10
    assert found.raters.value == pytest.approx(icc(np.delete(table, [3, 5], axis=0)[:, :3]).value)
    assert found.margin is None and found.verdict is None
    assert volume_ceiling(volumes(table[:, :3], ("a", "b", "c")), {}) == ()
    assert volume_ceiling(volumes(np.ones((5, 4))), {}) == ()
