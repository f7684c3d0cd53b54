"""A target of two raters on a row of voxels, and every loss with settings that make it differ from its neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from probseg.models.losses import (
    CombinedLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    SegmentationLoss,
    SoftLabelLoss,
)
from probseg.models.targets import Target

WEIGHTS = [0.5, 2.0, 1.0]
LOSSES: dict[str, Callable[[], SegmentationLoss]] = {
    "cross_entropy": CrossEntropyLoss,
    "cross_entropy_weighted": lambda: CrossEntropyLoss(WEIGHTS),
    "dice": DiceLoss,
    "dice_weighted": lambda: DiceLoss(0.5, WEIGHTS),
    "focal": FocalLoss,
    "focal_weighted": lambda: FocalLoss(0.5, WEIGHTS),
    "soft_label": SoftLabelLoss,
    "soft_label_weighted": lambda: SoftLabelLoss(WEIGHTS),
    "combined": CombinedLoss,
    "combined_weighted": lambda: CombinedLoss([FocalLoss(), DiceLoss(), SoftLabelLoss()], [0.3, 1.0, 2.0]),
}

# leaves 0, 1, 2; 3 is the group of 1 and 2; 4 is unknown
ADMISSIBLE = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]).bool()


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> SegmentationLoss:
    return LOSSES[request.param]()


def target_of(labels: list | torch.Tensor, rated: list | torch.Tensor | None = None) -> Target:
    """Equal shares among the masks with a rated voxel, as the target strategies give them."""
    labels = torch.as_tensor(labels)
    seen = torch.ones_like(labels, dtype=torch.bool) if rated is None else torch.as_tensor(rated)
    present = seen.flatten(2).any(dim=2).float()
    return Target(labels, seen, present / present.sum(dim=1, keepdim=True).clamp(min=1))


def log_probs_of(probs: list) -> torch.Tensor:
    """``(voxels, classes)`` probabilities of one image to ``(1, classes, 1, voxels)`` logarithms."""
    return torch.tensor(probs).T[None, :, None].log()


def random_case(seed: int, labels: int = 5, size: int = 2, masks: int = 3) -> tuple[torch.Tensor, Target]:
    generator = torch.Generator().manual_seed(seed)
    log_probs = (2 * torch.randn(size, 3, 4, 5, generator=generator)).log_softmax(1)
    drawn = torch.randint(0, labels, (size, masks, 4, 5), generator=generator)
    rated = torch.rand(size, masks, 4, 5, generator=generator) < 0.7
    return log_probs, target_of(drawn, rated)
