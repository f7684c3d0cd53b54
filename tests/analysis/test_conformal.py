from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probseg.analysis.conformal import Absolute, ConformalIntervals, Relative, clustered_quantile, fit_conformal
from probseg.errors import ProbsegError

LEVEL = 0.9


def population(rng, n, bias=0.4, spread=0.5):
    """Volumes over orders of magnitude; a model that is too sure and too low; one to four raters a patient, alike."""
    size = np.exp(rng.normal(2, 1.5, n))
    intervals = np.stack([size * np.exp(-bias - 0.1), size * np.exp(-bias + 0.1)], axis=1)
    shared = rng.normal(0, spread, n)
    observed = [size[k] * np.exp(shared[k] + 0.2 * rng.normal(size=rng.integers(1, 5))) for k in range(n)]
    return intervals, observed, [f"p{k}" for k in range(n)]


def share_held(ends, observed):
    """Of a rater picked at random from a patient, over patients."""
    held = [np.mean((low <= v) & (v <= high)) for (low, high), v in zip(ends, observed, strict=True)]
    return float(np.mean(held)), held


def test_quantile_is_the_ranked_score_of_one_trial_a_patient():
    scores = np.arange(1.0, 21.0)
    for alpha in (0.05, 0.1, 0.3):
        rank = math.ceil((20 + 1) * (1 - alpha))
        assert clustered_quantile(scores, scores.astype(str), 1 - alpha) == scores[rank - 1]
    assert clustered_quantile(scores[:18], scores[:18].astype(str), 0.95) == math.inf
    assert clustered_quantile(scores[:19], scores[:19].astype(str), 0.95) == 19
    assert clustered_quantile([], [], 0.5) == clustered_quantile([math.nan], ["a"], 0.5) == math.inf


def test_patients_weigh_the_same_however_many_volumes_they_have():
    # a has three trials of a third each: of (3 + 1) * 0.5 = 2 patients, 1/3 + 1 + 1/3 + 1/3 are reached at 4
    assert clustered_quantile([1, 2, 3, 4, 5], ["a", "b", "a", "a", "c"], 0.5) == 4
    again = clustered_quantile([1, 1, 2, 3, 3, 4, 5], ["a", "a", "b", "a", "a", "a", "c"], 0.5)
    assert again == 4


def test_covers_over_200_patients_within_its_binomial_band():
    rng = np.random.default_rng(5)
    fitted = fit_conformal(*population(rng, 200), LEVEL)
    intervals, observed, _ = population(rng, 200)
    one_rater = [v[:1] for v in observed]  # one a patient makes independent trials
    before, _ = share_held(intervals, one_rater)
    after, _ = share_held(fitted.widen(intervals), one_rater)
    assert before < 0.3
    # of the coverage given the calibration set, Beta(n + 1 - l, l) with l = floor((n + 1) alpha), and of 200 trials
    low, high = stats.betabinom.ppf([0.0005, 0.9995], 200, 181, 20) / 200
    assert low <= after <= high


@pytest.mark.parametrize("scale", [Absolute(), Relative(0.5)])
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("patients", [25, 60])
def test_the_promise_holds_on_average_over_calibration_sets(scale, asymmetric, patients):
    rng, found = np.random.default_rng(9), []
    for _ in range(150):
        fitted = fit_conformal(*population(rng, patients), LEVEL, scale, asymmetric=asymmetric)
        intervals, observed, _ = population(rng, 40)
        found.append(share_held(fitted.widen(intervals), observed)[0])
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) >= LEVEL - 4 * error
    # 1 / (K + 1) more for each end is what so few patients cost
    assert np.mean(found) <= LEVEL + (2 if asymmetric else 1) / (patients + 1) + 4 * error + 0.01


def test_taking_raters_for_independent_covers_less_than_promised():
    """Why patients are the trials: a patient with many raters would stand for many patients."""
    rng, naive, clustered = np.random.default_rng(3), [], []
    for _ in range(300):
        # a patient who is hard has one rater, one who is easy has twenty
        hard = rng.random(30) < 0.3
        scores = [rng.normal(3 if h else 0, 1, 1 if h else 20) for h in hard]
        people = np.repeat(np.arange(30), [len(s) for s in scores])
        new = rng.normal(3 if rng.random() < 0.3 else 0)
        trials = np.concatenate(scores)
        naive.append(new <= clustered_quantile(trials, np.arange(len(trials)), 0.9))
        clustered.append(new <= clustered_quantile(trials, people, 0.9))
    assert np.mean(naive) < 0.83
    assert np.mean(clustered) >= 0.9 - 4 * math.sqrt(0.09 / 300)


def test_each_site_keeps_its_own_promise():
    rng = np.random.default_rng(2)

    def both(n):
        parts = [population(rng, n, bias, spread) for bias, spread in ((0.0, 0.1), (1.0, 0.8))]
        sites = ["near"] * n + ["far"] * n
        people = [f"{s}{k}" for k, s in enumerate(sites)]
        return np.concatenate([p[0] for p in parts]), [*parts[0][1], *parts[1][1]], people, sites

    held = {"site": [], "pooled": []}
    for _ in range(40):
        intervals, observed, people, sites = both(60)
        by_site = fit_conformal(intervals, observed, people, LEVEL, sites=sites)
        pooled = fit_conformal(intervals, observed, people, LEVEL)
        assert by_site.pooled == pooled.pooled and by_site.site_patients == {"near": 60, "far": 60}
        intervals, observed, _, sites = both(60)
        for name, ends in (("site", by_site.widen(intervals, sites)), ("pooled", pooled.widen(intervals))):
            each = np.array(share_held(ends, observed)[1])
            held[name].append([each[:60].mean(), each[60:].mean()])
    site, together = np.mean(held["site"], axis=0), np.mean(held["pooled"], axis=0)
    assert (np.abs(site - LEVEL) < 0.03).all()
    assert together[0] > 0.98 and together[1] < 0.85  # right on average, and wrong at either site


def test_a_small_site_has_infinite_intervals_or_the_pooled_ones_and_says_so():
    rng = np.random.default_rng(1)
    intervals, observed, people = population(rng, 40)
    sites = ["big"] * 36 + ["small"] * 4
    honest = fit_conformal(intervals, observed, people, LEVEL, sites=sites)
    ends = honest.widen(intervals[-1:], ["small"])
    assert ends.tolist() == [[0, math.inf]] and honest.promised("small")
    assert honest.widen(intervals[:1], ["unseen"]).tolist() == [[0, math.inf]]
    pooled = fit_conformal(intervals, observed, people, LEVEL, sites=sites, pool_small_sites=True)
    assert pooled.widening("small") == pooled.widening("unseen") == pooled.pooled != pooled.widening("big")
    assert pooled.promised("big") and not pooled.promised("small") and not pooled.promised("unseen")
    with pytest.raises(ProbsegError, match="give the site"):
        honest.widen(intervals)


@given(st.integers(0, 100), st.booleans(), st.booleans(), st.sampled_from([Absolute(), Relative(2.0)]))
@settings(max_examples=15, deadline=None)
def test_json_keeps_everything(seed, by_site, asymmetric, scale):
    intervals, observed, people = population(np.random.default_rng(seed), 30)
    sites = ["a"] * 25 + ["b"] * 5 if by_site else None
    fitted = fit_conformal(intervals, observed, people, 0.9, scale, sites, asymmetric, pool_small_sites=by_site)
    assert ConformalIntervals.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False))) == fitted


def test_by_hand():
    # scores in mL: 10 lies 2 above 4..8, 3 lies 1 below; 5 is 1 inside; of three patients half is (3 + 1) / 2 = 2
    fitted = fit_conformal([[4, 8]] * 3, [[10], [3], [5]], list("abc"), 0.5, Absolute())
    assert fitted.pooled == (1.0, 1.0)
    np.testing.assert_allclose(fitted.widen([[4, 8], [0.5, 1], [math.nan, 2]])[:2], [[3, 9], [0, 2]])
    narrow = fit_conformal([[0, 10]] * 3, [[5], [5], [5]], list("abc"), 0.5, Absolute())
    assert narrow.pooled == (-5.0, -5.0)
    np.testing.assert_allclose(narrow.widen([[0, 10], [2, 4]]), [[5, 5], [3, 3]])  # not turned round
    doubled = fit_conformal([[9, 19]] * 3, [[39], [39], [39]], list("abc"), 0.5, Relative(1.0))
    assert doubled.widen([[9, 19]])[0].tolist() == pytest.approx([4, 39])
    alone = fit_conformal([[9, 19], [math.nan] * 2], [[19, math.nan], [5]], list("ab"), 0.5, Absolute())
    assert (alone.patients, alone.pooled) == (1, (0.0, 0.0))


@pytest.mark.parametrize("scale", [Absolute(), Relative(0.1), Relative(3.0)])
def test_a_volume_of_nothing_on_the_end_of_an_interval_stays_inside(scale):
    # raters who find nothing, on the end of intervals that begin at 0: the score is 0, and so is the widening
    fitted = fit_conformal([[0.0, 5.0]] * 20, [[0.0]] * 20, [str(k) for k in range(20)], 0.9, scale)
    assert fitted.pooled == (0.0, 0.0)
    ends = fitted.widen([[0.0, 5.0], [0.3, 0.7]])
    assert ends[0, 0] <= 0 and ends[1, 0] <= 0.3 and ends[1, 1] >= 0.7
    np.testing.assert_allclose(ends, [[0, 5], [0.3, 0.7]], atol=1e-6)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        fit_conformal([[1, 2]], [[1]], ["a"], 1.0)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        fit_conformal([[1, 2]], [[1]], ["a"], pool_small_sites=True)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        Relative(0.0)
    for wrong in ({}, {"scale": "cubic"}, {"level": 1}):
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            ConformalIntervals.from_dict(wrong)
