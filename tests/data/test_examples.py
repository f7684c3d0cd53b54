from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from probseg.batch import Example
from probseg.case import Geometry
from probseg.data.examples import Examples
from probseg.data.patches import random_patch
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
from probseg.data.virtual_raters import Majority, Staple
from probseg.errors import ProbsegError
from probseg.importing.build import SourceCase, SourceReading, write_dataset
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.records import Dataset, DatasetInfo
from probseg.store import Store, prepared


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    cases = generate(3, 0, DEFAULT_SITES[:2], default_raters(3), (6, 40, 36))
    return prepared(open_dataset(write(cases, tmp_path_factory.mktemp("examples") / "ct", 0)))


def numbered(dataset: Dataset) -> dict[str, int]:
    return {name: k for k, name in enumerate(dataset.patients)}


def assert_same(a: Example, b: Example) -> None:
    for field in fields(Example):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, Tensor):
            assert one.dtype == other.dtype
            assert one.shape == other.shape, field.name
            assert torch.equal(one.nan_to_num(), other.nan_to_num()), field.name
        else:
            assert one == other or (one != one and other != other), field.name  # NaN is not itself


@pytest.mark.parametrize("exclude", [(), ("rater-a",)])
@pytest.mark.parametrize(
    ("slices", "crop"),
    [(False, None), (True, None), (True, [16, 50]), (False, [3, 16, 16]), (False, [9, 48, 20]), (False, [2, 40, 36])],
)
@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_the_store_gives_the_examples_that_memory_gives(
    store: Store, slices: bool, crop: list[int] | None, foreground: float, exclude: tuple[str, ...]
) -> None:
    dataset = open_dataset(store.dataset.path)
    dataset = dataset.select(exclude=[dataset.raters[0]] if exclude else []).with_known_raters()
    virtual = [Staple(), Majority()] if crop != [2, 40, 36] else []
    by_class = crop in ([16, 50], [3, 16, 16])
    settings = (numbered(dataset), slices, crop, foreground, ())
    both = [Examples(dataset, *settings, s, virtual, by_class) for s in (None, store)]
    assert both[0].entries == both[1].entries
    assert both[0].one_shape == both[1].one_shape
    assert len(both[0]) == len(both[1]) > 0
    for k in range(len(both[0])):
        drawn = []
        for examples in both:
            torch.manual_seed(k)
            drawn.append(examples[k])
        assert_same(*drawn)
        assert drawn[0].index == k


def test_slices_that_nobody_looked_at_are_left_out(store: Store) -> None:
    dataset = open_dataset(store.dataset.path)
    looked = {f"{c.case_id}/{k}" for c in dataset for k in range(6) if c.stacked()[1][:, k].any()}
    examples = Examples(dataset, numbered(dataset), slices=True, store=store)
    assert {e.case_id for e in examples.entries} == looked


def test_examples_of_a_store_travel_without_a_voxel(store: Store) -> None:
    examples = Examples(store.dataset, numbered(store.dataset), slices=True, store=store)
    before = examples[3]
    assert not any(isinstance(v, np.ndarray) for v in vars(store).values())
    assert_same(pickle.loads(pickle.dumps(examples._source)).whole(3), before)


@pytest.mark.parametrize("seed", range(5))
def test_a_patch_on_the_foreground_holds_a_drawn_voxel(seed: int) -> None:
    torch.manual_seed(seed)
    masks = torch.zeros(2, 30, 40, dtype=torch.uint8)
    rated = torch.ones(2, 30, 40, dtype=torch.bool)
    masks[1, 21, 5] = 3
    masks[0, 2, 2] = 1
    rated[0, 2, 2] = False  # drawn, but not rated: no place for a patch
    example = Example(torch.rand(1, 30, 40), masks, rated, 0, 0, "c", "s", torch.ones(2))
    patch = random_patch(example, (8, 7), 1.0)
    assert patch.image.shape == (1, 8, 7)
    assert (patch.masks == 3).sum() == 1


def test_every_class_that_was_drawn_is_looked_for_as_often() -> None:
    """A lesion of one voxel beside one of a thousand, drawn by different raters; a third was not rated."""
    masks = torch.zeros(2, 60, 60, dtype=torch.uint8)
    rated = torch.ones(2, 60, 60, dtype=torch.bool)
    masks[0, :25, :40] = 1
    masks[1, 50, 50] = 2
    masks[0, 55, 5] = 3
    rated[0, 55, 5] = False
    example = Example(torch.rand(1, 60, 60), masks, rated, 0, 0, "c", "s", torch.ones(2))
    torch.manual_seed(0)
    rare = sum(bool((random_patch(example, (6, 6), 1.0, (1, 2, 3, 4)).masks == 2).any()) for _ in range(300))
    assert rare / 300 == pytest.approx(0.5, abs=0.09)  # three standard deviations of a fair coin
    common = sum(bool((random_patch(example, (6, 6), 1.0).masks == 2).any()) for _ in range(300))
    assert common < 10  # one voxel in a thousand and one


def test_padding_is_not_rated() -> None:
    example = Example(
        torch.ones(1, 3, 4),
        torch.ones(1, 3, 4, dtype=torch.uint8),
        torch.ones(1, 3, 4, dtype=torch.bool),
        0,
        0,
        "c",
        "",
        torch.ones(2),
    )
    patch = random_patch(example, (5, 4), 0.5)
    assert patch.rated[0].tolist() == [[True] * 4] * 3 + [[False] * 4] * 2
    assert patch.image[0, 3:].eq(0).all()
    with pytest.raises(ProbsegError, match=r"E_SCHEMA: data.crop must have 2 numbers"):
        random_patch(example, (5, 4, 3), 0.5)


@pytest.mark.parametrize("crop", [None, [8, 30]])
def test_pictures_in_a_folder_come_from_the_store_too(tmp_path: Path, crop: list[int] | None) -> None:
    rng = np.random.default_rng(0)
    cases = [
        SourceCase(
            f"c{k}",
            f"p{k}",
            "",
            rng.integers(0, 255, (20, 24)).astype(np.uint8),
            (),
            Geometry((20, 24), None),
            (SourceReading("a", (rng.random((20, 24)) < 0.3).astype(np.uint8)),),
        )
        for k in range(3)
    ]
    info = DatasetInfo("pictures", 2, LabelSet.binary("spot"), (0.0, 255.0))
    dataset = open_dataset(write_dataset(tmp_path / "pictures", info, cases))
    both = [Examples(dataset, numbered(dataset), False, crop, 0.5, (), s) for s in (None, prepared(dataset))]
    assert both[0].entries == both[1].entries
    for k in range(3):
        drawn = []
        for examples in both:
            torch.manual_seed(k)
            drawn.append(examples[k])
        assert_same(*drawn)
