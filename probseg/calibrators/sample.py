"""What calibrators are fitted on: some voxels or patches of the calibration cases, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.region import union_region
from probseg.batch import Example
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

__all__ = ["CalibrationSample", "Predict", "gather"]

Predict = Callable[[Tensor], SegmentationDistribution]
"""Images ``(batch, channels, *space)`` to their distribution before calibration."""

BUDGET = 1 << 23
"""Logits that are kept at most; 32 MB, and some ten times that while L-BFGS runs."""

_PATCH = {2: 48, 3: 16}  # voxels along each axis, by the number of axes


@dataclass(frozen=True)
class CalibrationSample:
    """Voxels (all in one row) or patches with the votes of the raters.

    Attributes:
        distribution: ``(models, readings, batch, classes, *space)`` before calibration.
        image: ``(batch, channels, *space)``.
        votes: ``(batch, labels, *space)``: weight of the trials that gave each label; 0 outside the region and for
            labels that admit every class. Sums to 1, each case alike.
        admissible: ``(labels, classes)`` bool.
        trials: rated (voxel, rater) pairs in it.
        cases: images that it comes from.
    """

    distribution: SegmentationDistribution
    image: Tensor
    votes: Tensor
    admissible: Tensor
    trials: int
    cases: int


def gather(
    examples: Iterable[Example],
    count: int,
    predict: Predict,
    admissible: Tensor,
    spatial: bool,
    seed: int = 0,
    budget: int = BUDGET,
) -> CalibrationSample:
    """Predict every example and keep a random part of its region, the same for the same seed.

    The region is that of every calibration figure, `union_region` of the raters and the uncalibrated mode. Every image
    gives as many voxels (one or more patches) as fit the budget, so that memory depends neither on the number of
    images nor on their size; where there are more images than patches, some give none.

    Args:
        examples: read one by one.
        count: how many there are.
        predict: the model before calibration, without gradients.
        admissible: ``(labels, classes)`` bool.
        spatial: keep patches instead of voxels.
        seed: of what is kept.
        budget: logits to keep at most; of patches half of it, because most of a patch is outside the region.

    Raises:
        ProbsegError: E_NO_MASKS where no rater or model drew anything in any image.
    """
    parts: list[CalibrationSample] = []
    cases = 0
    for k, example in enumerate(examples):
        rng = np.random.default_rng([seed, k])
        with torch.no_grad():
            distribution = predict(example.image[None])
        votes = _votes(example, distribution, admissible.cpu())
        if votes is None:
            continue
        keep, size = (_patches, budget // 2) if spatial else (_voxels, budget)
        kept = list(keep(example.image, distribution, votes, size, count, rng))
        parts, cases = parts + kept, cases + bool(kept)
    if not parts:
        raise ProbsegError("E_NO_MASKS", "no rater and no prediction drew anything in the calibration cases")
    return _joined(parts, admissible.cpu(), cases)


def _votes(example: Example, distribution: SegmentationDistribution, admissible: Tensor) -> Tensor | None:
    """``(labels, *space)`` number of raters for each label in the region; None where nobody says anything there."""
    masks, rated = example.masks[: example.num_raters], example.rated[: example.num_raters]
    spacing = example.spacing_mm.tolist() if bool(torch.isfinite(example.spacing_mm).all()) else None
    mode = distribution.mode[0].cpu().numpy()
    region = union_region(masks.numpy(), mode, admissible.shape[1], rated.numpy(), spacing)
    looked = rated & torch.from_numpy(region)
    votes = torch.stack([((masks == label) & looked).sum(dim=0) for label in range(len(admissible))])
    votes[admissible.all(dim=1)] = 0  # unknown says nothing
    return votes if bool(votes.any()) else None


def _voxels(
    image: Tensor,
    distribution: SegmentationDistribution,
    votes: Tensor,
    budget: int,
    images: int,
    rng: np.random.Generator,
) -> Iterator[CalibrationSample]:
    """Some of the voxels that somebody rated, as a picture of one row."""
    logits = distribution.logits.cpu().flatten(4)  # (models, readings, 1, classes, voxels)
    known = votes.flatten(1).sum(dim=0).nonzero().squeeze(1)
    count = max(1, budget // (logits.numel() // logits.shape[4]) // images)
    if len(known) > count:
        known = known[torch.from_numpy(np.sort(rng.choice(len(known), count, replace=False)))]
    row = (1, len(known))
    yield CalibrationSample(
        SegmentationDistribution(logits[..., known].unflatten(4, row)),
        image.flatten(1)[:, known].unflatten(1, row)[None],
        votes.flatten(1)[:, known].unflatten(1, row)[None],
        torch.zeros(0),
        int(votes.flatten(1)[:, known].sum()),
        cases=1,
    )


def _patches(
    image: Tensor,
    distribution: SegmentationDistribution,
    votes: Tensor,
    budget: int,
    images: int,
    rng: np.random.Generator,
) -> Iterator[CalibrationSample]:
    """Patches about voxels of the region; what lies outside the image repeats its border and has no votes."""
    space = tuple(image.shape[1:])
    size, draws = _PATCH[len(space)], distribution.num_draws * distribution.num_classes
    affordable = budget / (draws * size ** len(space)) / images
    count = int(affordable) if affordable >= 1 else int(rng.uniform() < affordable)
    known = votes.sum(dim=0).nonzero().numpy()
    for centre in known[rng.choice(len(known), count)]:
        indices, inside = zip(*(_along(int(c), size, n) for c, n in zip(centre, space, strict=True)), strict=True)
        part = _taken(votes, indices)
        for axis, there in enumerate(inside):
            part = part * torch.from_numpy(there).reshape(-1, *(1,) * (len(space) - 1 - axis))
        yield CalibrationSample(
            SegmentationDistribution(_taken(distribution.logits.cpu(), indices)),
            _taken(image, indices)[None],
            part[None],
            torch.zeros(0),
            int(part.sum()),
            cases=1,
        )


def _along(centre: int, size: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Positions of a patch along one axis, moved inside where the axis is long enough, and which of them exist."""
    start = min(max(centre - size // 2, 0), max(length - size, 0))
    positions = np.arange(start, start + size)
    return np.minimum(positions, length - 1), positions < length


def _taken(array: Tensor, indices: Sequence[NDArray[np.intp]]) -> Tensor:
    """The last axes at these positions."""
    for axis, positions in enumerate(indices):
        array = array.index_select(axis - len(indices), torch.from_numpy(positions))
    return array


def _joined(parts: Sequence[CalibrationSample], admissible: Tensor, cases: int) -> CalibrationSample:
    """Rows of voxels one after the other, or patches along the batch; each case with the same weight."""
    rows = parts[0].image.shape[2] == 1 and parts[0].image.ndim == 4
    axis = -1 if rows else 0
    weighed = [p.votes.float() / p.votes.sum() / len(parts) for p in parts]
    logits = torch.cat([p.distribution.logits for p in parts], dim=-1 if rows else 2)
    return CalibrationSample(
        SegmentationDistribution(logits),
        torch.cat([p.image for p in parts], dim=axis),
        torch.cat(weighed, dim=axis),
        admissible,
        sum(p.trials for p in parts),
        cases,
    )
