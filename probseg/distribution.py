"""The one object that every family returns: a distribution over segmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.likelihood import mask_log_likelihood
from probseg.maps import UncertaintyMaps

__all__ = ["Draws", "SegmentationDistribution"]

_CLASSES = 3  # the class axis of (models, readings, batch, classes, *space)


@dataclass(frozen=True)
class Draws:
    """Which draws to take from a model: ``count`` of them, fixed by ``seed``.

    A family spends the count on its own axis (weights for dropout, latents for a probabilistic U-Net); a
    deterministic network has one draw whatever is asked. Draw k is the same function for every slice and window.
    """

    count: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ProbsegError("E_SCHEMA", f"draws must be at least 1, but is {self.count}")

    def generator(self, *path: int) -> torch.Generator:
        """A CPU random generator for one purpose; the same ``path`` of integers gives the same numbers."""
        seed = self.seed & 0x7FFFFFFF
        for step in path:
            seed = (seed * 1_000_003 + int(step) + 0x9E3779B9) & 0x7FFFFFFFFFFF
        return torch.Generator().manual_seed(seed)

    def noise(self, size: int) -> Tensor:
        """``(count, size)`` standard normal numbers; row k does not depend on ``count``."""
        return torch.stack([torch.randn(size, generator=self.generator(k)) for k in range(self.count)])

    def share(self, member: int, members: int) -> Draws:
        """What one of several equal members takes: ``ceil(count / members)`` draws with a seed of its own."""
        return Draws(math.ceil(self.count / members), self.seed + 7919 * member)


@dataclass(frozen=True)
class SegmentationDistribution:
    """Equally likely draws of a segmentation, on two axes: draws of the weights, and readings under each of them.

    The names say what the axes stand for in the model; that `epistemic` is doubt which more data would remove, and
    `ambiguity` disagreement which it would not, is an assumption of the family and not a measured truth.

    Args:
        logits: ``(models, readings, batch, classes, *space)``, space of two or three axes; kept as float32.

    Every map is ``(batch, *space)`` in nats, and ``entropy == epistemic + ambiguity + noise`` voxel by voxel
    (Depeweg et al. 2018, arXiv:1710.07283, applied twice: over models, then over readings).
    """

    logits: Tensor

    def __post_init__(self) -> None:
        if self.logits.ndim not in (6, 7):
            raise ProbsegError(
                "E_NDIM",
                "logits must be (models, readings, batch, classes, *space) with two or three axes of space, but have "
                f"shape {tuple(self.logits.shape)}",
            )
        object.__setattr__(self, "logits", self.logits.float())

    @classmethod
    def cat(cls, members: Sequence[SegmentationDistribution]) -> SegmentationDistribution:
        """Join distributions along the model axis; they must agree in every other axis."""
        shapes = {tuple(m.logits.shape[1:]) for m in members}
        if len(shapes) != 1:
            raise ProbsegError("E_SHAPE_MISMATCH", f"members must have equal shapes, not {sorted(shapes)}")
        return cls(torch.cat([m.logits for m in members]))

    @property
    def num_models(self) -> int:
        """Draws of the weights."""
        return self.logits.shape[0]

    @property
    def num_readings(self) -> int:
        """Readings under each draw of the weights."""
        return self.logits.shape[1]

    @property
    def num_draws(self) -> int:
        """Models times readings."""
        return self.num_models * self.num_readings

    @property
    def num_classes(self) -> int:
        """C."""
        return self.logits.shape[_CLASSES]

    @cached_property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities, the shape of ``logits``."""
        return torch.log_softmax(self.logits, dim=_CLASSES)

    @property
    def probs(self) -> Tensor:
        """Probabilities of each draw, the shape of ``logits``."""
        return self._each[0]

    @cached_property
    def _each(self) -> tuple[Tensor, Tensor]:
        """Probabilities of each draw, and their entropies without the class axis.

        With ``d = logits - max`` and ``s = sum exp d`` it is ``p = exp d / s`` and ``H = log s - sum p d``: one
        exponential a logit and one logarithm a voxel. Below -200 an exponential is 0 in float32, and 0 log 0 is 0.
        """
        below = (self.logits - self.logits.amax(dim=_CLASSES, keepdim=True)).clamp(min=-200.0)
        weights = below.exp()
        total = weights.sum(dim=_CLASSES, keepdim=True)
        probs = weights / total
        return probs, (total.log() - (probs * below).sum(dim=_CLASSES, keepdim=True)).squeeze(_CLASSES)

    @cached_property
    def mean(self) -> Tensor:
        """``(batch, classes, *space)`` probabilities averaged over all draws."""
        return self.probs[0, 0] if self.num_draws == 1 else self.probs.mean(dim=(0, 1))

    @property
    def mode(self) -> Tensor:
        """``(batch, *space)`` the most probable class of the mean."""
        return largest(self.mean, 1).to(torch.int64)

    @property
    def entropy(self) -> Tensor:
        """Total uncertainty, ``H[mean over both axes]``."""
        return self._entropies[0]

    @cached_property
    def _entropies(self) -> tuple[Tensor, Tensor, Tensor]:
        """``H[mean]``, ``E_models H[mean over readings]``, ``E H[each]``; one tensor where they are the same."""
        within = self._each[1].mean(dim=(0, 1))
        if self.num_draws == 1:
            return within, within, within
        total = torch.special.entr(self.mean).sum(dim=1)
        if self.num_readings == 1:
            return total, within, within
        per_model = total  # of one set of weights, and not almost so
        if self.num_models > 1:
            per_model = torch.special.entr(self.probs.mean(dim=1)).sum(dim=2).mean(dim=0)
        return total, per_model, within

    @property
    def epistemic(self) -> Tensor:
        """How far draws of the weights differ, ``H[mean] - E_models H[mean over readings]``."""
        return self._entropies[0] - self._entropies[1]

    @property
    def ambiguity(self) -> Tensor:
        """How far readings differ under the same weights, ``E_models H[mean over readings] - E H[each draw]``."""
        return self._entropies[1] - self._entropies[2]

    @property
    def noise(self) -> Tensor:
        """Indecision left inside one reading, ``E H[each draw]``."""
        return self._entropies[2]

    def maps(self) -> UncertaintyMaps:
        """The per-voxel summary that is written to disk."""
        return UncertaintyMaps(self.mean, self.mode, self.entropy, self.epistemic, self.ambiguity, self.noise)

    def readings(self) -> Tensor:
        """``(models * readings, batch, *space)`` uint8: the most probable class in each draw, a plausible label map.

        Sampling each voxel on its own would give salt and pepper, which no rater draws.
        """
        return largest(self.logits, _CLASSES).flatten(0, 1)

    def log_prob(self, masks: Tensor, rated: Tensor, admissible: Tensor) -> Tensor:
        """Log-likelihood of whole masks, nats: the log of the mean over draws of ``p(mask | draw)``.

        Args:
            masks: ``(batch, raters, *space)`` dense labels.
            rated: the same shape, bool; other voxels contribute nothing.
            admissible: ``(labels, classes)`` bool.

        Returns:
            ``(batch, raters)``; 0 where a rater rated nothing. The mixture of draws in the sense of
            `torch.distributions.MixtureSameFamily`.
        """
        each = mask_log_likelihood(self.logits.flatten(0, 1), masks, rated, admissible)  # (draws, batch, raters)
        return torch.logsumexp(each, dim=0) - math.log(self.num_draws)


def largest(values: Tensor, dim: int) -> Tensor:
    """``values.argmax(dim)`` as uint8, a tie to the lower class; faster over an axis that is not the last."""
    if values.shape[dim] == 1:
        return torch.zeros_like(values.select(dim, 0), dtype=torch.uint8)
    labels = (values.select(dim, 1) > values.select(dim, 0)).to(torch.uint8)
    best = values.select(dim, 0)
    for c in range(2, values.shape[dim]):
        best = torch.maximum(best, values.select(dim, c - 1))
        labels.masked_fill_(values.select(dim, c) > best, c)
    return labels
