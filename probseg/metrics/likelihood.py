"""How probable the raters' masks are under the predicted distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.distribution import SegmentationDistribution
from probseg.likelihood import label_log_likelihood
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["RaterLikelihood"]

_FLOOR = 1e-12  # probabilities below this count as this; a float32 mean cannot tell them from 0


class RaterLikelihood(CaseMetric):
    """``log_likelihood`` of whole masks and ``nll_image`` of single voxels, both in nats a rated voxel, whole image.

    ``log_likelihood`` is the log of the mean over draws of p(whole mask | draw): a model that places its doubt in
    whole readings is rewarded. ``nll_image`` looks at the mean probabilities only. Groups and unknown count by the
    classes that they admit.

    Args:
        admissible: ``(labels, classes)`` bool, `LabelSet.admissible`.
    """

    admissible: Tensor

    def __init__(self, admissible: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_buffer("admissible", admissible.clone(), persistent=False)

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The two figures, means over cases."""
        return {"log_likelihood": ratio_of(0), "nll_image": ratio_of(2)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Both figures of each case as a value and a count."""
        admissible = self.admissible.to(masks.device)
        rated = rated & ~admissible.all(dim=1)[masks.long()]  # unknown says nothing, so it is no trial either
        joint = distribution.log_prob(masks, rated, admissible).double().sum(dim=1)
        log_mean = distribution.mean.clamp(min=_FLOOR).log().unsqueeze(1)
        log_mean = log_mean.expand(-1, masks.shape[1], *log_mean.shape[2:])
        each = label_log_likelihood(log_mean, masks, admissible, dim=2)
        marginal = -torch.where(rated, each, 0.0).double().flatten(1).sum(dim=1)
        voxels = rated.flatten(1).sum(dim=1).double()
        return as_pairs((torch.stack([joint, marginal], dim=1) / voxels[:, None]).cpu().numpy())
