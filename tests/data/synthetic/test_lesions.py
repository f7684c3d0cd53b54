"""Lesions lie in lung, do not touch, know how far they are, and look like their patterns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from probseg.case import Geometry
from probseg.data.synthetic import DEFAULT_SITES, LABELS, PATTERNS, RaterModel, generate
from probseg.data.synthetic.lesions import Draft, settle

SHAPE = (14, 96, 96)


@pytest.fixture(scope="module")
def cases():
    sites = [replace(s, lesions_per_patient=8, healthy=0.0) for s in DEFAULT_SITES]
    return list(generate(6, seed=1, sites=sites, shape=SHAPE))


def test_the_label_set_is_that_of_the_study():
    assert LABELS.values == (0, 1, 2, 5, 6, 7, 8, 9, 10)
    members = {g.name: tuple(np.asarray(LABELS.values)[LABELS.members(g.name)]) for g in LABELS.groups}
    assert members == {
        "opacity": (5, 6, 7, 8, 9, 10),
        "ground_glass": (5,),
        "crazy_paving": (6, 7),
        "consolidation": (8, 9, 10),
        "lung": (1, 2, 5, 6, 7, 8, 9, 10),
    }
    assert [p.label for p in PATTERNS] == [3, 4, 5, 6, 7, 8]
    assert not set(LABELS.names) & {g.name for g in LABELS.groups}


def test_each_lesion_is_one_component_of_the_truth(cases):
    assert sum(len(c.lesions) for c in cases) > 25
    for case in cases:
        parts, count = ndimage.label(case.truth > 2, np.ones((3, 3, 3)))
        assert count == len(case.lesions)
        for lesion in case.lesions:
            assert len(np.unique(parts[lesion.region][lesion.mask])) == 1
            assert (case.truth[lesion.region][lesion.mask] == lesion.label).all()
            assert lesion.volume_ml == pytest.approx(lesion.mask.sum() * case.case.geometry.voxel_volume_ml)


def test_territories_do_not_overlap(cases):
    for case in cases:
        claims = np.zeros(SHAPE, dtype=int)
        for lesion in case.lesions:
            claims[lesion.region] += lesion.territory
        assert claims.max() <= 1


def test_distance_to_the_outline_by_hand():
    # One row of lung, columns 0 to 9 at 2 mm; the lesion takes columns 3 to 5, the outline lies at 5 mm and 11 mm.
    lungs = np.ones((2, 1, 10), dtype=np.uint8)
    mask = np.zeros((2, 1, 10), dtype=bool)
    mask[0, 0, 3:6] = True
    geometry = Geometry((2, 1, 10), (5.0, 2.0, 2.0))
    (lesion,) = settle([Draft(PATTERNS[0], (slice(0, 2), slice(0, 1), slice(0, 10)), mask)], lungs, geometry)
    assert lesion.region[0] == slice(0, 1)  # the other slice is never drawn
    assert lesion.signed_distance_mm[0, 0].tolist() == [5, 3, 1, -1, -3, -1, 1, 3, 5, 7]
    assert lesion.volume_ml == pytest.approx(3 * 20 / 1000)


def test_the_pleura_is_no_outline():
    # As above, but lung ends after column 5: only the outline at 5 mm counts, and what is no lung is never drawn.
    lungs = np.ones((2, 1, 10), dtype=np.uint8)
    lungs[..., 6:] = 0
    mask = np.zeros((2, 1, 10), dtype=bool)
    mask[0, 0, 3:6] = True
    geometry = Geometry((2, 1, 10), (5.0, 2.0, 2.0))
    (lesion,) = settle([Draft(PATTERNS[0], (slice(0, 2), slice(0, 1), slice(0, 10)), mask)], lungs, geometry)
    assert lesion.signed_distance_mm[0, 0, :6].tolist() == [5, 3, 1, -1, -3, -5]
    assert lesion.territory[0, 0].tolist() == [True] * 6 + [False] * 4


def test_two_lesions_share_the_lung_between_them():
    lungs = np.ones((2, 1, 12), dtype=np.uint8)
    masks = [np.zeros((2, 1, 12), dtype=bool) for _ in range(2)]
    masks[0][0, 0, 1:3] = True
    masks[1][0, 0, 8:10] = True
    box = (slice(0, 2), slice(0, 1), slice(0, 12))
    first, second = settle(
        [Draft(PATTERNS[k], box, m) for k, m in enumerate(masks)], lungs, Geometry((2, 1, 12), (5.0, 1.0, 1.0))
    )
    assert first.territory[0, 0].tolist() == [True] * 6 + [False] * 6  # columns 3 to 5 are nearer to the first
    assert second.territory[0, 0].tolist() == [False] * 6 + [True] * 6


@pytest.fixture(scope="module")
def looks():
    """Pattern name to (mean HU, standard deviation of HU) of its lesions' cores."""
    found = {}
    for pattern in PATTERNS:
        site = replace(DEFAULT_SITES[0], prevalence={pattern.name: 1.0}, healthy=0.0, noise_hu=0.0)
        values = []
        for case in generate(2, seed=2, sites=[site], raters=[RaterModel("r")], shape=(10, 128, 128)):
            for lesion in case.lesions:
                core = lesion.mask & (lesion.signed_distance_mm < -4)
                values.append(case.case.image[lesion.region][core].astype(float))
        values = [v for v in values if len(v) > 20]
        found[pattern.name] = (np.mean([v.mean() for v in values]), np.mean([v.std() for v in values]))
    return found


def test_density_rises_with_severity(looks):
    glass, septa, paving, organizing, atoll, solid = (looks[p.name][0] for p in PATTERNS)
    assert -680 < glass < septa < paving < organizing < solid
    assert glass < atoll < solid
    assert -30 < solid < 80


def test_lines_and_patches_make_texture_that_haze_and_consolidation_lack(looks):
    glass, septa, paving, organizing, atoll, solid = (looks[p.name][1] for p in PATTERNS)
    assert min(septa, paving, organizing, atoll) > 1.2 * solid
    assert organizing > glass and atoll > glass


def test_an_atoll_is_a_dense_ring_round_ground_glass():
    site = replace(DEFAULT_SITES[0], prevalence={"atoll_sign": 1.0}, healthy=0.0, noise_hu=0.0)
    found = 0
    for case in generate(2, seed=5, sites=[site], raters=[RaterModel("r")], shape=(10, 128, 128)):
        for lesion in (x for x in case.lesions if x.volume_ml > 25):
            image = case.case.image[lesion.region]
            pad = np.pad(lesion.mask, ((0, 0), (1, 1), (1, 1)))
            depth = ndimage.distance_transform_edt(pad, (1e6, *case.case.geometry.spacing[1:]))[:, 1:-1, 1:-1]
            ring, core = image[(depth > 3) & (depth < 5)], image[depth > 11]
            if core.size > 5:
                found += 1
                assert ring.mean() > core.mean() + 150
    assert found >= 2
