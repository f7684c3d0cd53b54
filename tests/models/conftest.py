"""Small models and a batch with everything that is hard: groups, unknown, unrated voxels and an absent rater."""

from __future__ import annotations

import pytest
import torch

from probseg.batch import Batch, Example, collate
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import DatasetInfo

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=20),),
    unknown=255,
)


@pytest.fixture
def info() -> DatasetInfo:
    return DatasetInfo("toy", 2, LABELS, (0.0, 1.0))


def hard_batch(space: tuple[int, ...] = (16, 12), raters: int = 3, size: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    examples = []
    for k in range(size):
        masks = torch.randint(0, 5, (raters, *space), generator=generator).to(torch.uint8)
        rated = torch.rand(raters, *space, generator=generator) < 0.8
        rated[raters - 1] &= k > 0  # the last rater is absent from the first case
        image = torch.rand(1, *space, generator=generator)
        examples.append(Example(image, masks, rated, k, k, str(k), "", torch.ones(len(space))))
    return collate(examples)


@pytest.fixture
def batch() -> Batch:
    return hard_batch()


@pytest.fixture
def volumes() -> Batch:
    return hard_batch((4, 8, 8))
