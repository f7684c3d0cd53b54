"""Cross entropy: the log-likelihood of what raters drew."""

from __future__ import annotations

from torch import Tensor

from probseg.likelihood import every_label_log_likelihood
from probseg.models.losses.base import WeightedLoss, label_weight
from probseg.models.targets import Target

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(WeightedLoss):
    """``-log p(admissible classes of the label)``, averaged over rated voxels by weight; nats.

    With class weights it is ``-sum w log p / sum w`` as in `torch.nn.CrossEntropyLoss`, all weights being 1 by default.
    """

    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """The entry ``loss``."""
        weight = label_weight(target, len(admissible))
        of_label = self.label_weights(admissible)
        if of_label is not None:
            weight = weight * of_label.reshape(-1, *(1,) * (weight.ndim - 2))
        likelihood = every_label_log_likelihood(log_probs, admissible, dim=1)
        return {"loss": -(weight * likelihood).sum() / weight.sum().clamp(min=1e-8)}
