"""A network of the truth, and for each rater a matrix of what that rater calls it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from probseg.batch import NOBODY, Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.rater_aware import RaterAware
from probseg.models.targets import rater_losses
from probseg.networks.confusion import ConfusionMatrices

__all__ = ["RaterConfusion"]

_LEAST = 1e-30  # below what float32 can say of a probability that was summed


class RaterConfusion(RaterAware):
    """A segmentation of the truth that nobody drew, and how each rater departs from it; the readings are the raters'.

    The network gives p(truth = i | x), and rater r calls each voxel by the matrix A_r, whose rows are the truth:

        p(rater r says j | x) = sum_i p(truth = i | x) A_r[i, j].

    Minimised is the mean cross entropy of the raters' masks over rated voxels, plus ``trace_weight`` times the mean
    diagonal of their matrices: of all truths and matrices that explain the masks, those in which the raters are least
    reliable are the right ones if raters are right more often than not (Tanno et al. 2019, arXiv:1902.03680, who sum
    the traces of all raters where here is the mean of all diagonals). With ``hidden`` above 0 every voxel has matrices
    of its own (Zhang et al. 2020, arXiv:2007.15963), and the diagonal of a class is the mean over voxels by how likely
    they are of the class: what a matrix says of classes that its voxel is not would be driven anywhere.

    A group's likelihood is the mass of its classes after the matrix. Until the share ``warmup_identity`` of the
    training is over every matrix is the identity, so that the network has an idea of the truth before raters are judged
    by it. Masks of nobody in particular (a vote, STAPLE) are explained by the mean matrix of all raters.

    Args:
        network: a network with ``features`` and ``head``, such as `probseg.networks.UNet`.
        hidden: width of the layer that reads a voxel's matrices off the features; 0 for one matrix a rater.
        trace_weight: lambda, of the mean diagonal.
        warmup_identity: share of the training in which nobody is judged, 0 to below 1.
        rater: every reading is this rater's, or the estimated ``truth``; None for the readings of all raters.
        kwargs: those of `probseg.models.SegmentationModule`.
    """

    central = "truth"
    matrices: ConfusionMatrices

    def __init__(
        self,
        network: nn.Module,
        hidden: int = 0,
        trace_weight: float = 0.01,
        warmup_identity: float = 0.1,
        rater: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, rater, **kwargs)
        if hidden < 0 or trace_weight < 0 or not 0 <= warmup_identity < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "hidden and trace_weight must be at least 0 and warmup_identity from 0 to below 1, but are "
                f"{hidden}, {trace_weight} and {warmup_identity}",
            )
        self.hidden = hidden
        self.trace_weight = trace_weight
        self.warmup_identity = warmup_identity

    def make_room(self, raters: int) -> None:
        """A matrix for each rater."""
        self.matrices = ConfusionMatrices(raters, self.unet, self.hidden).to(self.device)

    def confusion_of(self, rater: str, image: Tensor | None = None) -> Tensor:
        """What a rater calls each class, by name: rows are the truth and sum to 1; the identity for the ``truth``.

        Args:
            rater: the name.
            image: ``(batch, channels, *space)``, over whose voxels the mean is taken, each by how likely it is of the
                class of a row; needed where every voxel has a matrix of its own.

        Returns:
            ``(classes, classes)``.
        """
        if self.is_central(rater):
            return torch.eye(self.num_classes, device=self.device)
        number = self.known.number(rater, self.central)
        with torch.no_grad():
            if not self.hidden:
                one = self.matrices(torch.tensor([[number]], device=self.device), None)
                return one.reshape(self.num_classes, self.num_classes)
            if image is None:
                raise ProbsegError(
                    "E_USAGE", "every voxel has matrices of its own in this model; give the image to read them from"
                )
            features = self.unet.features(image)
            matrices = self.matrices(torch.full((len(image), 1), number, device=self.device), features)
            return self.matrices.average(
                matrices, self._truth(features, tuple(image.shape[2:])).exp(), torch.ones_like(image[:, :1])
            )

    def _called(self, features: Tensor, truth: Tensor, rater: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices of raters ``(batch, masks)``, and the log-probabilities that they make of those of the truth."""
        matrices = self.matrices(rater, features)
        return matrices, self.matrices.applied(matrices, truth.exp()).clamp(min=_LEAST).log()

    def _truth(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        return torch.log_softmax(self.unet.head(features, space).float(), dim=1)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model; ``draws.count`` readings, of the raters in turn, or one of the chosen rater or of the truth."""
        features = self.unet.features(image)
        truth = self._truth(features, tuple(image.shape[2:]))
        if self.rater is not None and self.is_central(self.rater):
            return SegmentationDistribution(truth[None, None])
        raters, turn = self.turns(draws)
        readings = [
            self._called(features, truth, torch.full((len(image), 1), r, device=image.device))[1][:, 0]
            for r in raters.tolist()  # one by one: the matrices of all raters at once may be large
        ]
        return SegmentationDistribution(torch.stack(readings)[turn.to(image.device)][None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean cross entropy over rated voxels in nats, the mean diagonal, and the cross entropy of each rater."""
        target = self.renumbered(self.target(batch, self.num_classes))
        features = self.unet.features(batch.image)
        truth = self._truth(features, tuple(batch.image.shape[2:]))
        # The mean matrix is for masks of strangers; an absent rater has none, and must not cost that of all raters.
        matrices, called = self._called(features, truth, torch.where(target.share > 0, target.rater, 0))
        judged = 0.0 if self._is_warming_up() else 1.0
        if not judged:  # the matrices stay part of the graph, which distributed training asks for
            called = truth.unsqueeze(1) + 0.0 * called
        likelihood = self.log_likelihood(called, target.labels)
        weight = target.rated * target.share.reshape(*target.share.shape, *(1,) * (target.rated.ndim - 2))
        cross_entropy = -torch.where(target.rated, weight * likelihood, 0.0).sum() / weight.sum().clamp(min=1e-8)
        named = (target.rater != NOBODY).reshape(target.share.shape + (1,) * (weight.ndim - 2))
        diagonal = self.matrices.average(matrices, truth.detach().exp(), weight * named).diagonal().mean()
        return {
            "loss": cross_entropy + judged * self.trace_weight * diagonal,
            "cross_entropy": cross_entropy,
            "diagonal": diagonal,
            **rater_losses(likelihood, target, self.known.names),
        }

    def _is_warming_up(self) -> bool:
        return self._trainer is not None and self._progress() < self.warmup_identity
