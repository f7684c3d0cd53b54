"""What each rater calls each class: a row-stochastic matrix a rater, the same everywhere or read off the features."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.networks.folding import fold, unfold
from probseg.networks.protocol import FeatureNetwork

__all__ = ["ConfusionMatrices"]

_POOL: dict[int, Callable[..., Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class ConfusionMatrices(nn.Module):
    """``A_r[i, j]``: the chance that rater r calls j what truly is i. Rows are the truth and sum to 1.

    Tanno et al. (2019), arXiv:1902.03680, have one matrix a rater; Zhang et al. (2020), arXiv:2007.15963, one a rater
    and voxel, read here off the features of the network by two 1 x 1 convolutions. Both papers write the transpose
    (columns are the truth). This is the layout of `probseg.analysis.StapleResult.confusion`. Every matrix starts near
    the identity, from which weight decay does not draw it away.

    Matrices that may be anything in every voxel explain all masks by any truth, and training wanders from the right
    one. So those of voxels have the largest entry of every row on the diagonal, whatever the features: no rater calls a
    class more often by another's name than by its own. One matrix a rater needs no such rule and has none.

    Args:
        raters: R, how many are known.
        network: whose classes are confused and, where ``hidden`` is not 0, whose features are read.
        hidden: width between the two convolutions; 0 for the same matrix in every voxel.
        sure: the diagonal at the start.
    """

    start: Tensor

    def __init__(self, raters: int, network: FeatureNetwork, hidden: int = 0, sure: float = 0.95) -> None:
        super().__init__()
        classes = network.num_classes
        self.fold = int(getattr(network, "fold", 1))
        self.dimensions = network.dimensions
        behind = math.log((1 - sure) / (classes - 1) / sure)  # of the others, beside a diagonal at 0
        if hidden:
            behind = -math.log(math.expm1(-behind))  # what `_of` turns into it
        self.register_buffer("start", behind * (1 - torch.eye(classes)), persistent=False)
        self.change = nn.Parameter(torch.zeros(raters, classes, classes))
        self.read: nn.Module | None = None
        if hidden:
            conv = nn.Conv2d if network.dimensions == 2 else nn.Conv3d
            self.read = nn.Sequential(conv(network.feature_channels, hidden, 1), nn.ReLU())
            self.slope = nn.Parameter(torch.zeros(raters, classes, classes, hidden))  # the same everywhere at first

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start near the identity, everywhere alike."""
        self.change.zero_()
        if self.read is not None:
            self.slope.zero_()

    def forward(self, rater: Tensor, features: Tensor | None) -> Tensor:
        """The matrices of raters.

        Args:
            rater: ``(batch, masks)``; a negative number is the mean of all raters.
            features: ``(batch, channels, *folded)``; not looked at where all voxels have the same matrix.

        Returns:
            ``(batch, masks, classes, classes, *folded)``, float32; *folded* is 1, 1 where all voxels have the same one.
        """
        hidden = None if self.read is None or features is None else self.read(features).float()
        matrices = self._of(rater.clamp(min=0), hidden)
        unknown = rater < 0
        if bool(unknown.any()):
            every = torch.zeros_like(matrices[:, :1])
            for r in range(len(self.change)):  # one by one: all at once would be large
                every = every + self._of(torch.full_like(rater[:, :1], r), hidden) / len(self.change)
            matrices = torch.where(unknown.reshape(*unknown.shape, *(1,) * (matrices.ndim - 2)), every, matrices)
        return matrices

    def _of(self, rater: Tensor, hidden: Tensor | None) -> Tensor:
        logits = (self.start + self.change)[rater]  # (batch, masks, classes, classes)
        logits = logits.reshape(*logits.shape, *(1,) * self.dimensions)
        if hidden is not None:
            with torch.autocast(hidden.device.type, enabled=False):
                logits = logits + torch.einsum("bmijh,bh...->bmij...", self.slope[rater], hidden)
            own = torch.eye(len(self.start), dtype=torch.bool, device=logits.device)
            own = own.reshape(1, 1, *own.shape, *(1,) * self.dimensions)
            logits = torch.where(own, 0.0, F.logsigmoid(logits))  # the others are below 0
        return torch.softmax(logits, dim=3)

    def average(self, matrices: Tensor, probs: Tensor, weight: Tensor) -> Tensor:
        """``(classes, classes)``: row i is the mean of all rows i, by how likely each voxel is to be i truly.

        What a matrix says of a class that a voxel is not tells nothing of a rater, and so does not count. A row is 0
        where nothing counts.

        Args:
            matrices: as `forward` gives them.
            probs: ``(batch, classes, *space)``, of the truth.
            weight: ``(batch, masks, *space)``, how much each voxel counts.
        """
        folded, space = tuple(matrices.shape[4:]), tuple(probs.shape[2:])
        with torch.autocast(probs.device.type, enabled=False):
            mass = (weight.unsqueeze(2) * probs.unsqueeze(1)).flatten(0, 1)  # (batch * masks, classes, *space)
            missing = [max(0, self.fold * f - s) if f > 1 else 0 for f, s in zip(folded, space, strict=True)]
            padded = F.pad(mass, [amount for m in reversed(missing) for amount in (0, m)])
            mass = _POOL[self.dimensions](padded, folded).unflatten(0, weight.shape[:2]).flatten(3)
            total = torch.einsum("bmiv,bmijv->ij", mass, matrices.flatten(4))
            return total / mass.sum(dim=(0, 1, 3)).clamp(min=1e-12).unsqueeze(1)

    def applied(self, matrices: Tensor, probs: Tensor) -> Tensor:
        """What raters call each voxel: ``q_j = sum_i A[i, j] p_i``.

        Args:
            matrices: as `forward` gives them.
            probs: ``(batch, classes, *space)``, of the truth.

        Returns:
            ``(batch, masks, classes, *space)``; sums to 1 over classes.
        """
        with torch.autocast(probs.device.type, enabled=False):
            return self._applied(matrices, probs)

    def _applied(self, matrices: Tensor, probs: Tensor) -> Tensor:
        space, folded = tuple(probs.shape[2:]), tuple(matrices.shape[4:])
        if set(folded) == {1}:
            return torch.einsum("bmij...,bi...->bmj...", matrices, probs)
        missing = [self.fold * f - s for f, s in zip(folded, space, strict=True)]
        if min(missing) < 0:  # the features are coarser, and nothing says by how much
            whole = matrices.flatten(1, 3)
            whole = F.interpolate(whole, space, mode="bilinear" if self.dimensions == 2 else "trilinear")
            return torch.einsum("bmij...,bi...->bmj...", whole.unflatten(1, tuple(matrices.shape[1:4])), probs)
        # A position of the features stands for a patch of voxels, which share its matrix. To fold the probabilities
        # takes far less memory than to spread the matrices.
        padded = F.pad(probs, [amount for m in reversed(missing) for amount in (0, m)])
        patches = fold(padded, self.fold).unflatten(1, (probs.shape[1], -1))  # (batch, classes, patch, *folded)
        called = torch.einsum("bmij...,bip...->bmjp...", matrices, patches)
        whole = unfold(called.flatten(2, 3).flatten(0, 1), self.fold).unflatten(0, called.shape[:2])
        return whole[(slice(None), slice(None), slice(None), *(slice(0, n) for n in space))]
