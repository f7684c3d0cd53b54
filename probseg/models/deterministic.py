"""One network, one answer: the family that every other is compared with."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.models.base import SegmentationModule
from probseg.models.losses import CrossEntropyLoss, SegmentationLoss
from probseg.models.losses.base import voxel_log_likelihood
from probseg.models.targets import Target, rater_losses
from probseg.networks import DeepNetwork, coarsened, level_weights
from probseg.records import DatasetInfo

__all__ = ["Deterministic"]


class Deterministic(SegmentationModule):
    """A segmentation network with one answer; its distribution has one draw, so all its doubt is noise.

    With `AverageRaters` the target of a voxel is the raters' frequencies (a soft label), with `RandomRater` one of
    them, with `MajorityVote` their vote. A group label costs the log of the group's total probability.

    A network with deep supervision is trained at every level of its decoder, each weighing half the finer one; the
    terms of the objective are logged for the finest level, ``level_k`` is the objective at coarser ones, and ``loss``
    is the weighted sum.

    Args:
        network: as in `SegmentationModule`.
        objective: what is minimised, one of `probseg.models.losses`; by default cross entropy.
        kwargs: the others of `SegmentationModule`.
    """

    trains_coarser_levels: ClassVar[bool] = True

    def __init__(self, network: nn.Module, objective: SegmentationLoss | None = None, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.objective = CrossEntropyLoss() if objective is None else objective

    def bind(self, info: DatasetInfo) -> None:
        """As in `SegmentationModule`; the objective must fit the label set."""
        super().bind(info)
        self.objective.check(info.labels.num_classes)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One draw, whatever ``draws`` asks."""
        return SegmentationDistribution(self.network(image)[None, None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the objective."""
        target = self.target(batch, self.num_classes)
        network = self.network
        levels = network.deep_logits(batch.image) if isinstance(network, DeepNetwork) else [network(batch.image)]
        weights = level_weights(len(levels))
        terms = self._level(levels[0], target, 0)
        terms |= {f"level_{k}": self._level(levels[k], target, k)["loss"] for k in range(1, len(levels))}
        if len(levels) > 1:
            terms["level_0"] = terms["loss"]
            terms["loss"] = sum(
                (weight * terms[f"level_{k}"] for k, weight in enumerate(weights)), start=batch.image.new_zeros(())
            )
        return terms

    def _level(self, logits: Tensor, target: Target, level: int) -> dict[str, Tensor]:
        """The objective at one level of the decoder; the finest also tells how well each known rater is predicted."""
        log_probs = self.log_probs(logits, dim=1)
        if level:
            axes = logits.ndim - 2
            labels, rated = (coarsened(x, level, axes) for x in (target.labels, target.rated))
            target = Target(labels, rated, target.share, target.rater)
        terms = self.objective(log_probs, target, self.admissible)
        if level == 0 and self._bound.raters:
            likelihood = voxel_log_likelihood(log_probs.detach(), target, self.admissible)
            terms |= rater_losses(likelihood, target, self._bound.raters)
        return terms
