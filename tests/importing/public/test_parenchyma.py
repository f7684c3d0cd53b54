"""The rules of the study's third phase, voxel by voxel, at their borders."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.errors import ProbsegError
from probseg.importing.public.parenchyma import LABELS, phase3_labels


def label(hu, lung=1, glass=-1, solid=0, **options):
    """The names of what one voxel may be."""
    parenchyma = np.array([[lung], [glass], [solid]])
    options = {k: np.array([v]) if k == "vessels" and v is not None else v for k, v in options.items()}
    value = phase3_labels(np.array([hu]), parenchyma, **options)
    allowed = LABELS.admissible[LABELS.encode(value)[0]]
    return {name for name, yes in zip(LABELS.names, allowed, strict=True) if yes}


@pytest.mark.parametrize(
    ("voxel", "names"),
    [
        ((-776, 1, 1, 0), {"normal_lung"}),  # too dark for the ground glass that was drawn
        ((-776, 1, -1, 1), {"normal_lung"}),  # normal lung goes before consolidation
        (
            (-775, 1, 1, 0),
            {"vessels", "normal_lung", "ground_glass"},
        ),  # neither below nor above: the drawing is left out
        ((-774, 1, 1, 0), {"ground_glass"}),
        ((-376, 1, 1, 0), {"ground_glass"}),
        ((-376, 1, 1, 1), {"consolidation"}),  # consolidation goes before ground glass
        ((-375, 1, 1, 0), {"vessels"}),
        ((-375, 1, 1, 1), {"consolidation"}),
        ((-600, 1, -1, 0), {"vessels", "normal_lung", "ground_glass"}),
        ((-600, 1, 0, 0), {"vessels", "normal_lung"}),
        ((-600, 1, 0, -1), {"vessels", "normal_lung", "consolidation"}),
        ((-600, 1, -1, -1), {"vessels", "normal_lung", "ground_glass", "consolidation"}),
        ((-600, 0, 1, 1), {"background"}),  # what is drawn outside the lungs does not count
        ((-900, -1, 1, 0), set(LABELS.names)),
    ],
)
def test_a_voxel_is_what_the_rules_say(voxel, names):
    assert label(*voxel) == names


def test_without_negatives_the_rest_is_unknown():
    assert label(-600, negatives=False) == set(LABELS.names)
    assert label(-600, glass=1, negatives=False) == {"ground_glass"}


def test_vessels_that_are_given_replace_the_rule_of_hu():
    assert label(-900, vessels=True) == {"vessels"}
    assert label(0, solid=1, vessels=True) == {"vessels"}
    assert label(0, vessels=False) == {"vessels", "normal_lung", "ground_glass"}
    assert label(0, lung=0, vessels=True) == {"background"}


def test_volumes_are_labelled_voxel_by_voxel():
    rng = np.random.default_rng(0)
    hu, parenchyma = rng.integers(-1000, 200, (2, 3, 4)), rng.integers(-1, 2, (3, 2, 3, 4)).astype(np.float64)
    values = phase3_labels(hu, parenchyma)
    assert values.shape == hu.shape and values.dtype == np.uint8
    flat = phase3_labels(hu.reshape(-1), parenchyma.reshape(3, -1))
    assert (values.reshape(-1) == flat).all()


@pytest.mark.parametrize(
    ("shape", "value", "code"), [((3, 2, 3), 1, "E_SHAPE_MISMATCH"), ((3, 2), 2, "E_UNKNOWN_LABEL: .* holds 2")]
)
def test_what_is_no_parenchyma_is_refused(shape, value, code):
    with pytest.raises(ProbsegError, match=code):
        phase3_labels(np.zeros(2), np.full(shape, value))
