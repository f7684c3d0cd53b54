"""Small models and a batch with everything that is hard: groups, unknown, unrated voxels and an absent rater."""

from __future__ import annotations

from dataclasses import replace

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


RATERS = ("Ann", "Ben", "Cleo")


class Pointwise(torch.nn.Module):
    """The least network that has features: two layers of one voxel each."""

    def __init__(self, classes: int, width: int = 8) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.feature_channels, self.dimensions = 1, classes, width, 2
        self.first = torch.nn.Conv2d(1, width, 1)
        self.last = torch.nn.Conv2d(width, classes, 1)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.first(image))

    def head(self, features: torch.Tensor, space: tuple[int, ...]) -> torch.Tensor:
        return self.last(features)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(image), tuple(image.shape[2:]))


@pytest.fixture
def pointwise() -> type[Pointwise]:
    return Pointwise


@pytest.fixture
def named(info: DatasetInfo) -> DatasetInfo:
    """The same data, which say who their raters are."""
    return replace(info, raters=RATERS)


@pytest.fixture
def named_batch(batch: Batch) -> Batch:
    """The hard batch with names: in the second case the raters come in another order, and one is a stranger."""
    rater = torch.tensor([[0, 1, 2], [2, -1, 0]])
    return replace(batch, rater=rater, workload=torch.tensor([[2, 1, 1], [1, 0, 2]]))
