"""Images whose raters are drawn from a known distribution, and a model that states it too surely."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from probseg.batch import Example
from probseg.calibrators import CalibrationSample, gather
from probseg.distribution import SegmentationDistribution


def world(true_logits: Tensor, raters: int, seed: int) -> Example:
    """Raters drawn voxel by voxel from the mean over draws of ``(draws, classes, *space)``."""
    generator = torch.Generator().manual_seed(seed)
    p = true_logits.softmax(dim=1).mean(dim=0)  # (classes, *space)
    space = p.shape[1:]
    drawn = torch.multinomial(p.flatten(1).T, raters, replacement=True, generator=generator).T
    masks = drawn.reshape(raters, *space).to(torch.uint8)
    # the image says which example it is
    image = torch.full((1, *space), seed / 100)
    looked = torch.ones_like(masks, dtype=torch.bool)
    return Example(image, masks, looked, seed, seed, str(seed), "", torch.full((len(space),), float("nan")))


@pytest.fixture(scope="session")
def sampled() -> Callable[..., CalibrationSample]:
    """``sampled(change, classes, draws, spatial)``: a model whose logits are the true ones after ``change``."""

    def make(
        change: Callable[[Tensor], Tensor],
        classes: int = 2,
        draws: int = 3,
        spatial: bool = False,
        cases: int = 6,
        space: tuple[int, ...] = (32, 32),
        budget: int | None = None,
    ) -> CalibrationSample:
        generator = torch.Generator().manual_seed(5)
        truths = []
        for _ in range(cases):
            base = 2 * torch.randn(1, classes, *space, generator=generator)
            truths.append(base + 0.7 * torch.randn(draws, classes, *(1,) * len(space), generator=generator))
        examples = [world(truth, 20, k) for k, truth in enumerate(truths)]

        def predict(image: Tensor) -> SegmentationDistribution:
            truth = truths[round(float(image.flatten()[0]) * 100)]
            return SegmentationDistribution(change(truth)[:, None, None])

        admissible = torch.eye(classes, dtype=torch.bool)
        if budget is None:  # a patch a case
            budget = 2 * classes * draws * 48 * 48 * cases if spatial else 1 << 23
        return gather(examples, cases, predict, admissible, spatial, budget=budget)

    return make
