"""Cases held in memory as examples: whole, by slices, or in patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probseg.case import Case, Geometry
from probseg.data.examples import Examples
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.records import CaseRecord, Dataset, DatasetInfo

PATIENTS = {"p0": 0, "p1": 1}


def dataset(shapes: list[tuple[int, ...]]) -> Dataset:
    """Volumes or images with two raters; the second did not look at the last slice (or row)."""
    cases = {}
    for k, shape in enumerate(shapes):
        rng = np.random.default_rng(k)
        masks = {name: (rng.random(shape) < 0.2).astype(np.uint8) for name in "AB"}
        rated = np.ones((shape[0], *(1,) * (len(shape) - 1)), dtype=bool)
        rated[-1] = False
        geometry = Geometry(shape, (2.0, *(0.5,) * (len(shape) - 1)))
        cases[f"c{k}"] = Case(f"c{k}", f"p{k % 2}", "x", rng.normal(0, 500, shape), masks, geometry, {"B": rated})
    records = tuple(CaseRecord(n, c.patient_id, "x", "train", "", ()) for n, c in cases.items())
    info = DatasetInfo("toy", len(shapes[0]), LabelSet.binary("x"), (-1000.0, 1000.0))
    return Dataset(info, records, lambda record: cases[record.case_id])


def test_whole_images():
    examples = Examples(dataset([(6, 8), (6, 8), (6, 8)]), PATIENTS)
    assert len(examples) == 3 and examples.one_shape
    third = examples[2]
    assert (third.index, third.patient, third.case_id, third.site) == (2, 0, "c2", "x")
    assert examples.patient_ids == {0: "p0", 1: "p1"}
    assert third.image.shape == (1, 6, 8) and third.image.dtype == torch.float32
    assert 0 <= third.image.min() <= third.image.max() <= 1
    assert third.masks.shape == (2, 6, 8) and third.masks.dtype == torch.uint8
    assert third.rated[0].all() and not third.rated[1, -1].any() and third.rated[1, :-1].all()
    assert third.spacing_mm.tolist() == [2.0, 0.5]


def test_slices_of_volumes():
    examples = Examples(dataset([(3, 6, 8), (2, 6, 8)]), PATIENTS, slices=True)
    assert [examples[k].case_id for k in range(5)] == ["c0/0", "c0/1", "c0/2", "c1/0", "c1/1"]
    assert examples[2].image.shape == (1, 6, 8)
    assert examples[2].spacing_mm.tolist() == [0.5, 0.5]
    assert examples[2].rated[0].all() and not examples[2].rated[1].any()
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*data\.slices"):
        Examples(dataset([(6, 8)]), PATIENTS, slices=True)


def test_shapes_that_differ_are_told():
    volumes = dataset([(3, 6, 8), (2, 6, 8)])
    assert not Examples(volumes, PATIENTS).one_shape
    patches = Examples(volumes, PATIENTS, crop=(2, 4, 4))
    assert patches.one_shape
    assert patches[1].image.shape == (1, 2, 4, 4)


def test_a_patch_is_cut_at_one_place_from_everything():
    torch.manual_seed(0)
    images = dataset([(20, 30)])
    whole, patches = Examples(images, PATIENTS)[0], Examples(images, PATIENTS, crop=(7, 9), foreground=0.0)
    corners = set()
    for _ in range(20):
        patch = patches[0]
        places = [
            (r, c)
            for r in range(14)
            for c in range(22)
            if torch.equal(whole.image[:, r : r + 7, c : c + 9], patch.image)
        ]
        assert len(places) == 1
        r, c = places[0]
        corners.add(places[0])
        assert torch.equal(whole.masks[:, r : r + 7, c : c + 9], patch.masks)
        assert torch.equal(whole.rated[:, r : r + 7, c : c + 9], patch.rated)
    assert len(corners) > 10


def test_patches_find_what_a_rater_drew_where_he_looked():
    images = dataset([(40, 40)])
    case = images.load(images.records[0])
    for mask in case.masks.values():
        mask[:] = 0
    case.masks["A"][17, 23] = 1
    case.masks["B"][39, 2] = 1  # nobody looked there
    torch.manual_seed(0)
    sought = Examples(images, PATIENTS, crop=(5, 5), foreground=1.0)
    assert all(sought[0].masks[0].any() for _ in range(50))
    anywhere = Examples(images, PATIENTS, crop=(5, 5), foreground=0.0)
    assert sum(bool(anywhere[0].masks[0].any()) for _ in range(50)) < 15


def test_small_images_are_padded_and_the_padding_is_not_rated():
    images = dataset([(4, 6)])
    whole, patch = Examples(images, PATIENTS)[0], Examples(images, PATIENTS, crop=(8, 6))[0]
    assert patch.image.shape == (1, 8, 6)
    assert not patch.rated[:, 4:].any()
    assert torch.equal(patch.rated[:, :4], whole.rated)
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*data\.crop must have 2 numbers"):
        Examples(images, PATIENTS, crop=(4,))[0]
