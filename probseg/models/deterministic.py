"""One network, one answer: the family that every other is compared with."""

from __future__ import annotations

from torch import Tensor

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.models.base import SegmentationModule

__all__ = ["Deterministic"]


class Deterministic(SegmentationModule):
    """A segmentation network trained by cross entropy; its distribution has one draw, so all its doubt is noise.

    With `AverageRaters` the target of a voxel is the raters' frequencies (a soft label), with `RandomRater` one of
    them, with `MajorityVote` their vote. A group label costs the log of the group's total probability.
    """

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One draw, whatever ``draws`` asks."""
        return SegmentationDistribution(self.network(image)[None, None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean cross entropy over rated voxels, nats."""
        target = self.target(batch, self.num_classes)
        likelihood = self.log_likelihood(self.network(batch.image).unsqueeze(1), target.labels)
        weight = target.rated * target.share.reshape(*target.share.shape, *(1,) * (target.rated.ndim - 2))
        return {"loss": -(weight * likelihood).sum() / weight.sum().clamp(min=1e-8)}
