import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from probseg.analysis.bootstrap import bootstrap
from probseg.analysis.detection import auroc, auroc_of_counts
from probseg.analysis.entropy import rater_entropy
from probseg.analysis.risk_coverage import risk_coverage
from probseg.analysis.voxel_ranking import (
    DISPUTE_BINS,
    UNCERTAINTY_BINS,
    disagreement_counts,
    error_counts,
    uncertainty_bin,
    voxel_figures,
)
from probseg.errors import ProbsegError


def scan(seed, size=48, raters=4):
    """Smooth probability of one of two classes, raters who draw at levels of it, and its entropy with some noise."""
    rng = np.random.default_rng(seed)
    logit = 12 * ndimage.gaussian_filter(rng.normal(size=(size, size)), 3) - 1
    p = 1 / (1 + np.exp(-6 * logit))
    masks = (p > rng.uniform(0.2, 0.8, raters)[:, None, None]).astype(np.uint8)
    entropy = stats.entropy([p, 1 - p]) * np.exp(0.3 * rng.normal(size=p.shape))
    return entropy.clip(max=math.log(2)), masks, (p > 0.5).astype(np.uint8), rng


def test_bins_by_hand():
    top = math.log(2)
    values = np.array([0.0, -1e-9, 1e-7 * top, 1.01e-6 * top, top / 1.01, top, top * 1.01])
    assert uncertainty_bin(values, 2).tolist() == [0, 0, 0, 1, *[UNCERTAINTY_BINS - 2], *[UNCERTAINTY_BINS - 1] * 2]
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        uncertainty_bin(np.array([np.nan]), 2)


def test_counts_by_hand():
    masks = np.array([[0, 1, 1, 1, 2], [0, 1, 0, 1, 1]])  # 2 is no leaf class, so the last voxel has one vote
    uncertainty = np.array([0.0, 0.0, 0.6, 0.6, 0.6])
    counts = disagreement_counts(uncertainty, masks, 2)
    assert counts.shape == (UNCERTAINTY_BINS, DISPUTE_BINS)
    assert (counts[0, 0], counts[:, -1].sum(), counts.sum()) == (2, 1, 4)
    errors = error_counts(uncertainty, np.array([0, 0, 1, 1, 1]), masks, 2)
    assert errors[0].tolist() == [2, 2] and errors[1:].sum(axis=0).tolist() == [4, 1]
    rated = np.array([[True] * 5, [True, True, False, True, True]])
    assert disagreement_counts(uncertainty, masks, 2, rated).sum() == 3
    region = np.arange(5) < 2
    assert error_counts(uncertainty, np.zeros(5, int), masks, 2, rated, region).sum() == 4


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_close_to_what_all_voxels_give_at_once(seed):
    entropy, masks, mode, rng = scan(seed)
    region = rng.random(mode.shape) < 0.9
    disagreement, errors = (
        disagreement_counts(entropy, masks, 2, None, region),
        error_counts(entropy, mode, masks, 2, None, region),
    )
    found = voxel_figures({"entropy": disagreement[None]}, {"entropy": errors[None]}, ["a"])
    votes = rater_entropy(masks, 2)[region]
    wrong = (masks != mode)[:, region].ravel()
    u = np.tile(entropy[region], (len(masks), 1)).ravel()
    values = {name: interval.value for (_, name), interval in found.items()}
    assert values["disagreement_auroc"] == pytest.approx(auroc(entropy[region], votes > 0), abs=0.005)
    assert values["disagreement_spearman"] == pytest.approx(
        stats.spearmanr(entropy[region], votes).statistic, abs=0.005
    )
    assert values["error_auroc"] == pytest.approx(auroc(u, wrong), abs=0.005)
    oracle = risk_coverage(u, wrong)
    assert values["aurc"] == pytest.approx(oracle.aurc, abs=0.002)
    assert values["excess_aurc"] == pytest.approx(oracle.excess, abs=0.002)


def test_cases_add_up_and_intervals_are_over_patients():
    scans = [scan(seed) for seed in range(6)]
    each = np.array([disagreement_counts(e, m, 2) for e, m, _, _ in scans])
    together = [np.concatenate([s[k] for s in scans], axis=-1) for k in range(2)]
    np.testing.assert_array_equal(each.sum(axis=0), disagreement_counts(*together, 2))
    found = voxel_figures({"x": each}, {}, list("aabbcc"), samples=50)["x", "disagreement_auroc"]
    pairs = np.stack([each[:, :, 0], each[:, :, 1:].sum(axis=2)], axis=1).reshape(6, -1)
    oracle = bootstrap(
        pairs, list("aabbcc"), lambda s: auroc_of_counts(s[..., UNCERTAINTY_BINS:], s[..., :UNCERTAINTY_BINS]), 50
    )
    np.testing.assert_allclose([found.value, found.low, found.high], [oracle.value, oracle.low, oracle.high])
    assert found.low < found.value < found.high


def test_the_order_of_raters_and_one_who_is_absent_change_nothing():
    entropy, masks, mode, _ = scan(3)
    absent = np.concatenate([masks[::-1], masks[:1]])
    rated = np.ones(absent.shape, bool)
    rated[-1] = False
    for count in (
        lambda m, r: disagreement_counts(entropy, m, 2, r),
        lambda m, r: error_counts(entropy, mode, m, 2, r),
    ):
        np.testing.assert_array_equal(count(masks, None), count(absent, rated))
