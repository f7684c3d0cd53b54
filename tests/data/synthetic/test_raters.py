"""Raters keep their habits, and many simulated readings converge to the distribution given in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.case import Geometry
from probseg.data.synthetic import (
    DEFAULT_SITES,
    LABELS,
    PATTERNS,
    RaterModel,
    default_raters,
    generate,
    neighbour_confusion,
    rater_distribution,
)
from probseg.data.synthetic.lesions import Draft, settle
from probseg.errors import ProbsegError

RADIUS_MM = 30.0


def discs(radius_mm, centres, patterns, shape=(3, 120, 120), spacing=(5.0, 1.0, 1.0)):
    """Lungs that fill the volume, discs in the middle slice, geometry."""
    geometry = Geometry(shape, spacing)
    lungs = np.ones(shape, dtype=np.uint8)
    y, x = np.mgrid[: shape[1], : shape[2]] * spacing[1]
    box = tuple(slice(0, n) for n in shape)
    drafts = []
    for pattern, (row, column) in zip(patterns, centres, strict=True):
        mask = np.zeros(shape, dtype=bool)
        mask[1] = (y - row) ** 2 + (x - column) ** 2 < radius_mm**2
        drafts.append(Draft(pattern, box, mask))
    return lungs, settle(drafts, lungs, geometry), geometry


@pytest.mark.parametrize("bias", [-4.0, -1.5, 0.0, 2.0, 5.0])
def test_boundary_bias_is_the_log_bias_of_the_volume(bias):
    lungs, lesions, geometry = discs(RADIUS_MM, [(60, 60)], [PATTERNS[0]])
    rater = RaterModel("r", boundary_bias_mm=bias, boundary_noise_mm=1.0)
    true = lesions[0].mask.sum()
    drawn = [(rater.read(np.random.default_rng(k), lungs, lesions, geometry)[0] > 2).sum() for k in range(60)]
    measured = np.log(np.array(drawn) / true).mean()
    # A disc of radius r read at r + b has ((r + b) / r)^2 of its area.
    assert measured == pytest.approx(2 * np.log1p(bias / RADIUS_MM), abs=0.02)


def test_without_habits_a_rater_draws_the_truth():
    for case in generate(2, seed=4, raters=[RaterModel("r", boundary_noise_mm=0.0)], shape=(8, 64, 64)):
        assert np.array_equal(case.case.masks["r"], case.truth)
        assert np.array_equal(case.distribution.argmax(axis=0), case.truth)
        assert set(np.unique(case.distribution)) <= {0.0, 1.0}


def test_noise_moves_the_outline_by_its_standard_deviation_and_keeps_it_in_one_piece():
    from scipy import ndimage

    lungs, lesions, geometry = discs(RADIUS_MM, [(60, 60)], [PATTERNS[0]])
    rater = RaterModel("r", boundary_noise_mm=2.0)
    edges, pieces = [], []
    for k in range(150):
        mask = rater.read(np.random.default_rng(k), lungs, lesions, geometry)[0][1] > 2
        edges.append(mask[60, 60:].sum())
        pieces.append(ndimage.label(mask)[1])
    assert np.std(edges) == pytest.approx(2.0, rel=0.25)
    assert np.mean(np.array(pieces) == 1) > 0.95


def test_confusion_is_drawn_once_a_lesion_with_the_frequencies_of_the_matrix():
    centres = [(15 + 30 * (k // 3), 15 + 30 * (k % 3)) for k in range(6)]
    lungs, lesions, geometry = discs(6.0, centres, PATTERNS, shape=(3, 60, 90))
    confusion = neighbour_confusion(up=0.25, down=0.1)
    rater = RaterModel("r", boundary_noise_mm=0.5, confusion=confusion)
    readings = 500
    counts = np.zeros((LABELS.num_classes, LABELS.num_classes))
    for k in range(readings):
        mask, _ = rater.read(np.random.default_rng(k), lungs, lesions, geometry)
        for lesion in lesions:
            called = np.unique(mask[lesion.region][lesion.mask & (lesion.signed_distance_mm < -3)])
            assert len(called) == 1
            counts[lesion.label, called[0]] += 1
    frequency = counts[3:] / readings
    error = np.sqrt(confusion[3:] * (1 - confusion[3:]) / readings)
    assert (np.abs(frequency - confusion[3:]) <= 4.5 * error).all()


def test_lesions_are_missed_at_the_rate():
    centres = [(15 + 30 * (k // 3), 15 + 30 * (k % 3)) for k in range(6)]
    lungs, lesions, geometry = discs(6.0, centres, PATTERNS, shape=(3, 60, 90))
    rater = RaterModel("r", boundary_noise_mm=0.5, miss_rate=0.3)
    missed = [
        not (mask[lesion.region][lesion.mask] > 2).any()
        for k in range(200)
        for mask in [rater.read(np.random.default_rng(k), lungs, lesions, geometry)[0]]
        for lesion in lesions
    ]
    assert np.mean(missed) == pytest.approx(0.3, abs=4.5 * np.sqrt(0.21 / len(missed)))


@pytest.mark.parametrize(("fraction", "slices"), [(0.0, 11), (0.3, 11), (0.05, 7), (1.0, 5)])
def test_slices_are_left_unread_in_the_fraction(fraction, slices):
    lungs = np.ones((slices, 32, 32), dtype=np.uint8)
    rater = RaterModel("r", unread_fraction=fraction)
    unread = []
    for k in range(300):
        mask, rated = rater.read(np.random.default_rng(k), lungs, [], Geometry(lungs.shape, (5.0, 5.0, 5.0)))
        unread.append(0.0 if rated is None else 1 - rated.mean())
        if rated is not None:
            assert np.array_equal(mask.any(axis=(1, 2)), rated[:, 0, 0])  # an unread slice is empty
    assert np.mean(unread) == pytest.approx(fraction, abs=0.02)


def test_many_readings_converge_to_the_distribution():
    site = replace(DEFAULT_SITES[0], healthy=0.0, lesions_per_patient=6)
    raters = default_raters(3)
    (case,) = generate(1, seed=8, sites=[site], raters=raters, shape=(5, 64, 64))
    lungs = np.where(case.truth > 2, 0, case.truth).astype(np.uint8)
    for lesion in case.lesions:  # what lies under a lesion is the side around it
        lungs[lesion.region][lesion.mask] = 1 + (lesion.region[2].start + lesion.mask.shape[2] / 2 < 32)
    assert len(case.lesions) >= 3
    count = np.zeros_like(case.distribution)
    readings = 200
    for k in range(readings):
        for j, rater in enumerate(raters):
            quick = replace(rater, unread_fraction=0.0)  # the distribution is that of what was read
            mask, _ = quick.read(np.random.default_rng([k, j]), lungs, case.lesions, case.case.geometry)
            np.put_along_axis(
                count, mask[None].astype(int), np.take_along_axis(count, mask[None].astype(int), 0) + 1, 0
            )
    total = readings * len(raters)
    p = rater_distribution(raters, lungs, case.lesions)
    assert np.array_equal(p[3:], case.distribution[3:])
    tolerance = 6 * np.sqrt(p * (1 - p) / total) + 3 / total
    assert (np.abs(count / total - p) <= tolerance).all()
    uncertain = (p.max(axis=0) < 0.9) & (p.max(axis=0) > 0.1)
    assert uncertain.sum() > 50  # the test has something to tell apart


@settings(max_examples=15, deadline=None)
@given(st.floats(-4, 4), st.floats(0, 3), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 5))
def test_the_distribution_sums_to_one_and_follows_the_closed_form(bias, noise, miss, up, down, kind):
    lungs, lesions, _ = discs(12.0, [(20, 20)], [PATTERNS[kind]], shape=(3, 40, 40))
    rater = RaterModel("r", bias, noise, neighbour_confusion(up, down), miss)
    p = rater_distribution([rater, RaterModel("s")], lungs, lesions)
    assert p.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    assert p.min() >= 0
    opacity = LABELS.members("opacity")
    centre = p[opacity, 1, 20, 20].sum()
    assert centre == pytest.approx(0.5 * (1 - miss) + 0.5, abs=2e-3)  # far inside it is drawn unless missed


def test_the_outline_of_an_unbiased_rater_is_an_even_chance():
    # Voxels half a voxel inside and outside: Phi(0.5) and Phi(-0.5) for a noise of 1 mm at 1 mm spacing.
    lungs = np.ones((2, 1, 10), dtype=np.uint8)
    mask = np.zeros((2, 1, 10), dtype=bool)
    mask[0, 0, :5] = True
    box = (slice(0, 2), slice(0, 1), slice(0, 10))
    lesions = settle([Draft(PATTERNS[5], box, mask)], lungs, Geometry((2, 1, 10), (5.0, 1.0, 1.0)))
    p = rater_distribution([RaterModel("r", miss_rate=0.5)], lungs, lesions)
    assert p[8, 0, 0, 4:6] == pytest.approx([0.5 * 0.6914625, 0.5 * 0.3085375], abs=1e-6)
    assert p[1, 0, 0, 4:6] == pytest.approx([1 - 0.5 * 0.6914625, 1 - 0.5 * 0.3085375], abs=1e-6)


@pytest.mark.parametrize(
    "habit",
    [
        {"boundary_noise_mm": -1.0},
        {"boundary_bias_mm": 18.0},
        {"miss_rate": 1.2},
        {"unread_fraction": -0.1},
        {"boundary_length_mm": 0.0},
        {"confusion": np.eye(3)},
        {"confusion": np.full((9, 9), 1 / 9)},
        {"confusion": neighbour_confusion(0.2, 0.2) * 0.5},
    ],
)
def test_impossible_habits_are_refused(habit):
    with pytest.raises(ProbsegError, match="E_USAGE: rater 'r'"):
        RaterModel("r", **habit)


def test_default_raters_differ_and_the_first_do_not_depend_on_the_count():
    many, few = default_raters(12), default_raters(2)
    assert len({r.name for r in many}) == 12
    assert [r.boundary_bias_mm for r in few] == [r.boundary_bias_mm for r in many[:2]]
    habits = {(r.boundary_bias_mm, r.miss_rate, r.confusion.tobytes()) for r in default_raters(60)}
    assert len(habits) == 60
    for count in (0, 61):
        with pytest.raises(ProbsegError, match="E_USAGE"):
            default_raters(count)
