"""Scales and offsets of normalisation layers changed so that predictions on the new site become surer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from probseg.adapting.batches import batches_of, random_batches
from probseg.adapting.collected_weights import require_own_weights
from probseg.adapting.method import AdaptationMethod, Adapted
from probseg.adapting.site_data import SiteData
from probseg.distribution import Draws
from probseg.errors import ProbsegError, warn
from probseg.inference.scan import space_axes
from probseg.models import SegmentationModule
from probseg.progress import followed

__all__ = ["EntropyMinimisation", "affine_parameters"]

_TINY = 1e-7  # below which a probability's part of the entropy has no gradient that is a number


class EntropyMinimisation(AdaptationMethod):
    """Tent (Wang et al. 2021, arXiv:2006.10726): the entropy of predictions falls by what scales and shifts features.

    Minimised by Adam, over the scale and offset of every normalisation layer and nothing else, is

        mean over voxels of H[mean over draws of p],

    over the voxels to which the unadapted model gives a foreground probability above ``region``: in a whole image the
    background that nobody doubts would decide. Tent also normalises by the statistics of the new images; for that
    adapt with `NormalisationStatistics` first and its run with this.

    **The trap.** Nothing is as sure as background everywhere, and entropy falls all the way there. So the expected
    foreground of every batch, which entropy knows nothing of, is held against the unadapted model's: where it differs
    by more than ``most_change``, the step before is taken back and the adaptation ends. Entropy is also what tells an
    honest distribution from an overconfident one, and disagreement of raters is not doubt that should go: measure NLL
    and ECE before and after.

    Args:
        steps: of the optimiser at most.
        learning_rate: of Adam. Tent's 1e-3 moves a small lesion's volume by a fifth within a step or two.
        images: how many images are read at most.
        batch_size: images a step.
        draws: over which a step takes the mean; fixed.
        region: foreground probability above which a voxel counts.
        most_change: share by which the expected foreground may fall or rise.
    """

    labelled = False

    def __init__(
        self,
        steps: int = 30,
        learning_rate: float = 1e-4,
        images: int = 256,
        batch_size: int = 8,
        draws: int = 4,
        region: float = 0.05,
        most_change: float = 0.2,
    ) -> None:
        if min(steps, images, batch_size, draws) < 1 or not 0 < learning_rate < float("inf"):
            raise ProbsegError(
                "E_SCHEMA",
                "EntropyMinimisation needs steps, images, batch_size and draws of at least 1 and learning_rate above "
                f"0, but they are {steps}, {images}, {batch_size}, {draws} and {learning_rate}",
            )
        if not 0 <= region < 1 or most_change <= 0:
            raise ProbsegError(
                "E_SCHEMA",
                f"region must lie from 0 to below 1 and most_change above 0, but they are {region} and {most_change}",
            )
        self.steps = steps
        self.learning_rate = learning_rate
        self.images = images
        self.batch_size = batch_size
        self.draws = Draws(draws)
        self.region = region
        self.most_change = most_change

    def __call__(self, model: SegmentationModule, site: SiteData, seed: int) -> Adapted:
        """Take the steps, or as many as the guard allows."""
        require_own_weights(model, type(self).__name__)
        affine = affine_parameters(model)
        if not affine:
            raise ProbsegError(
                "E_USAGE",
                f"this {type(model).__name__} has no normalisation layer with scale and offset, which "
                "EntropyMinimisation changes; take FineTune",
            )
        assert model.info is not None
        images = site.images(model.info, space_axes(model), self.images, seed)
        source = copy.deepcopy(model).eval()
        trained = [(p, p.requires_grad) for p in model.parameters()]
        model.requires_grad_(False)
        for parameter in affine:
            parameter.requires_grad_(True)
        try:
            steps, stopped = self._minimise(model, source, affine, images, seed)
        finally:
            for parameter, wanted in trained:
                parameter.requires_grad_(wanted)
                parameter.grad = None
        return Adapted(self._judged(model, source, images) | {"stopped_by_guard": stopped}, steps)

    def _minimise(
        self,
        model: SegmentationModule,
        source: SegmentationModule,
        affine: Sequence[nn.Parameter],
        images: Sequence[Tensor],
        seed: int,
    ) -> tuple[int, bool]:
        """Steps that were kept, and whether the guard ended it."""
        optimizer = torch.optim.Adam(affine, lr=self.learning_rate)
        drawn = random_batches(images, self.batch_size, torch.Generator().manual_seed(seed))
        before: list[Tensor] = []
        for step, batch in enumerate(followed(islice(drawn, self.steps + 1), self.steps + 1, "steps")):
            with torch.no_grad():
                expected = _foreground(source(batch, self.draws).mean)
            # torch 2.13 crashes in the backward pass of a group norm in channels_last whose input needs no gradient
            mean = model(batch.requires_grad_(True), self.draws).mean
            if not self._within(float(_foreground(mean).sum().detach() / expected.sum())):
                for parameter, value in zip(affine, before, strict=True):  # the first batch sees equal models
                    parameter.data.copy_(value)
                kept = max(step - 1, 0)
                warn(
                    "W_COLLAPSE",
                    f"the expected foreground changed by more than {self.most_change:.0%} after {kept} steps of "
                    "EntropyMinimisation, which ended there; lower learning_rate, or do without it",
                )
                return kept, True
            inside = expected > self.region
            if step == self.steps:  # whose batch only judges the last step
                break
            before = [parameter.detach().clone() for parameter in affine]
            if bool(inside.any()):
                optimizer.zero_grad()
                _entropy(mean)[inside].mean().backward()
                optimizer.step()
        return self.steps, False

    def _within(self, change: float) -> bool:
        return 1 / (1 + self.most_change) <= change <= 1 + self.most_change

    def _judged(
        self, model: SegmentationModule, source: SegmentationModule, images: Sequence[Tensor]
    ) -> dict[str, float]:
        """Entropy in the region of all images before and after, nats a voxel, and the ratio of expected foreground."""
        sums = torch.zeros(5, dtype=torch.float64)
        with torch.no_grad():
            for batch in batches_of(images, self.batch_size):
                old, new = (m(batch, self.draws).mean for m in (source, model))
                inside = _foreground(old) > self.region
                parts = (_entropy(old)[inside], _entropy(new)[inside], _foreground(old), _foreground(new), inside)
                sums += torch.stack([part.double().sum().cpu() for part in parts])
        voxels, foreground = (max(float(s), _TINY) for s in (sums[4], sums[2]))
        return {
            "images": len(images),
            "entropy_before": float(sums[0]) / voxels,
            "entropy_after": float(sums[1]) / voxels,
            "foreground_ratio": float(sums[3]) / foreground,
        }


def affine_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scale and offset of every normalisation layer."""
    return list(_affine(model))


def _affine(model: nn.Module) -> Iterator[nn.Parameter]:
    for layer in model.modules():
        if isinstance(layer, _NormBase | nn.GroupNorm | nn.LayerNorm):
            yield from layer.parameters(recurse=False)


def _foreground(mean: Tensor) -> Tensor:
    """``(batch, *space)`` of ``(batch, classes, *space)``: probability of any class but background."""
    return 1 - mean[:, 0]


def _entropy(mean: Tensor) -> Tensor:
    """``(batch, *space)`` nats."""
    p = mean.clamp_min(_TINY)
    return -(p * p.log()).sum(dim=1)
