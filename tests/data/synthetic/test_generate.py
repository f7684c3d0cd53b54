"""Cases are reproducible one by one, sites differ as they were told to, and nothing needs torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.data.synthetic import DEFAULT_SITES, PATTERNS, SITES, RaterModel, Site, default_raters, generate
from probseg.errors import ProbsegError

SHAPE = (6, 64, 64)


def same(a, b):
    return (
        a.case.case_id == b.case.case_id
        and a.case.geometry == b.case.geometry
        and np.array_equal(a.case.image, b.case.image)
        and np.array_equal(a.truth, b.truth)
        and np.array_equal(a.distribution, b.distribution)
        and all(np.array_equal(a.case.masks[r], b.case.masks[r]) for r in a.case.masks)
        and all(np.array_equal(a.case.rated_by(r), b.case.rated_by(r)) for r in a.case.masks)
    )


def test_a_case_depends_on_the_seed_and_its_number_only():
    long = list(generate(3, seed=5, shape=SHAPE))
    short = list(islice(generate(2, seed=5, shape=SHAPE), 2))
    other = next(generate(1, seed=6, shape=SHAPE))
    assert all(same(a, b) for a, b in zip(long, short, strict=False))
    assert not same(long[0], long[2])
    assert not np.array_equal(long[0].case.image, other.case.image)


def test_a_rater_does_not_depend_on_the_raters_behind():
    one, three = (next(generate(1, seed=5, raters=default_raters(n), shape=SHAPE)) for n in (1, 3))
    assert np.array_equal(one.case.masks["rater-1"], three.case.masks["rater-1"])
    assert np.array_equal(one.case.image, three.case.image)


def test_what_a_case_is_made_of():
    cases = list(generate(4, seed=0, shape=SHAPE))
    assert len({c.case.patient_id for c in cases}) == 4
    assert [c.case.site for c in cases] == ["north", "south", "north", "south"]
    for case in cases:
        assert case.case.image.dtype == np.int16 and case.truth.dtype == np.uint8
        assert case.case.image.min() >= -1024 and case.case.image.max() <= 3071
        assert case.distribution.shape == (9, *SHAPE) and case.distribution.dtype == np.float32
        assert case.distribution.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
        assert list(case.case.masks) == ["rater-1", "rater-2", "rater-3", "rater-4"]
        assert case.case.geometry.spacing[0] != case.case.geometry.spacing[1] == case.case.geometry.spacing[2]


def test_some_patients_are_healthy_and_the_rest_have_lesions_by_prevalence():
    site = Site(
        "s", prevalence={"pure_consolidation": 3.0, "pure_ground_glass": 1.0}, lesions_per_patient=4, healthy=0.3
    )
    drawn = [site.patterns(np.random.default_rng(k)) for k in range(1000)]
    assert np.mean([len(d) == 0 for d in drawn]) == pytest.approx(0.3, abs=0.06)
    assert np.mean([len(d) for d in drawn if d]) == pytest.approx(4.0, abs=0.25)
    names = [p.name for d in drawn for p in d]
    assert names.count("pure_consolidation") / len(names) == pytest.approx(0.75, abs=0.04)
    assert set(names) == {"pure_consolidation", "pure_ground_glass"}


@pytest.mark.parametrize("site", DEFAULT_SITES, ids=lambda s: s.name)
def test_a_scanner_makes_the_noise_and_the_blur_it_says(site):
    geometry = Geometry((4, 128, 128), (site.slice_spacing_mm, 1.0, 1.0))
    noise = site.acquire(np.random.default_rng(0), np.zeros(geometry.shape, np.float32), geometry).astype(float)
    assert noise.std() == pytest.approx(site.noise_hu, rel=0.03)
    # White noise blurred by a Gaussian of standard deviation s is correlated by exp(-d^2 / (4 s^2)) at distance d.
    neighbours = np.corrcoef(noise[..., :-1].ravel(), noise[..., 1:].ravel())[0, 1]
    assert neighbours == pytest.approx(np.exp(-1 / (4 * site.kernel_mm**2)), abs=0.08)


def test_two_sites_differ_in_noise_spacing_and_prevalence():
    north, south = DEFAULT_SITES
    cases = list(generate(6, seed=3, shape=(6, 96, 96)))
    noise, spacing = {}, {}
    for case in cases:
        liver_to_heart = case.case.image[(case.truth == 0) & (case.case.image > -20) & (case.case.image < 110)]
        noise.setdefault(case.case.site, []).append(liver_to_heart.std())
        spacing.setdefault(case.case.site, set()).add(case.case.geometry.spacing)
    assert min(noise["south"]) > max(noise["north"])
    assert {s[0] for s in spacing["north"]} == {5.0} and {s[0] for s in spacing["south"]} == {10.0}
    assert spacing["north"].isdisjoint(spacing["south"])
    assert (north.healthy, north.prevalence) != (south.healthy, south.prevalence)


def test_every_pattern_can_be_asked_for_alone():
    for pattern in PATTERNS:
        site = replace(DEFAULT_SITES[0], prevalence={pattern.name: 1.0}, healthy=0.0)
        case = next(generate(1, seed=1, sites=[site], raters=[RaterModel("r")], shape=(12, 64, 64)))
        assert case.lesions and {x.pattern.name for x in case.lesions} == {pattern.name}


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_cases": 0},
        {"seed": -1},
        {"shape": (1, 64, 64)},
        {"shape": (8, 64)},
        {"sites": []},
        {"raters": []},
        {"raters": [RaterModel("a"), RaterModel("a")]},
    ],
)
def test_bad_arguments_are_refused_before_the_first_case(arguments):
    with pytest.raises(ProbsegError, match="E_USAGE"):
        generate(**{"num_cases": 1, **arguments})


@pytest.mark.parametrize(
    "fault",
    [
        {"noise_hu": -1.0},
        {"kernel_mm": -1.0},
        {"slice_spacing_mm": 0.0},
        {"field_of_view_mm": 10.0},
        {"prevalence": {"pneumothorax": 1.0}},
        {"prevalence": {"atoll_sign": 0.0}},
        {"lesions_per_patient": 0.5},
        {"healthy": 1.5},
    ],
)
def test_impossible_sites_are_refused(fault):
    with pytest.raises(ProbsegError, match="E_USAGE: site 's'"):
        Site("s", **fault)


def test_nothing_here_needs_torch():
    code = "import sys, probseg.data.synthetic, probseg.commands.import_; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_more_sites_keep_the_first_two_and_have_names_and_scanners_of_their_own():
    assert SITES[:2] == DEFAULT_SITES and len(SITES) == 5
    for value in ("name", "noise_hu", "kernel_mm", "slice_spacing_mm", "field_of_view_mm"):
        assert len({getattr(site, value) for site in SITES}) == 5
