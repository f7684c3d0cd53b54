"""Dropout left awake at prediction: each mask of dropped channels is a draw of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.deterministic import Deterministic
from probseg.models.losses import SegmentationLoss
from probseg.networks.concrete_dropout import ConcreteDropout, channel_axis, make_concrete
from probseg.networks.readers import LayerOutput, readers_of
from probseg.networks.replay import Replayed

__all__ = ["MonteCarloDropout"]


class MonteCarloDropout(Deterministic):
    """A network with dropout, trained as `Deterministic`, of which every draw drops other channels.

    Gal and Ghahramani (2016), arXiv:1506.02142. Draw k drops the same channels for every image, slice and window. At
    prediction whole channels are dropped, also where a layer drops single elements in training (`torch.nn.Dropout`
    rather than `Dropout2d`): a mask tied to positions would be another function in each window. The channels are
    axis 1, or the last of inputs with two or three axes such as ``(batch, tokens, features)``. All other layers, batch
    norm among them, are in evaluation mode, and nothing in the network changes.

    With ``concrete`` each dropout layer of the network is replaced by a `ConcreteDropout`, which learns its p. Added to
    the objective, and logged as ``concrete``, is what keeps p from 0 (Gal, Hron and Kendall 2017, arXiv:1705.07832,
    equations 3 and 4): for each layer, of K channels, whose output is read by the weights W,

        1/N (weight_prior / 2 * ||W||^2 / (1 - p)  -  K H(p)),   H(p) = -p log p - (1 - p) log(1 - p).

    N is how many independent data the objective is a mean of. Cross entropy is a mean over voxels, so N counts the
    voxels of all training images and the objective is the paper's bound, divided by N. Neighbouring voxels are hardly
    independent: a smaller ``data_size`` says so, and keeps p higher. ``dropout`` is the mean of p over layers.

    Args:
        network: as in `SegmentationModule`; with dropout.
        objective: as in `Deterministic`.
        concrete: learn how much each layer drops.
        weight_prior: the squared length scale l^2 of the weights' prior, for ``concrete`` only. Where batch norm
            follows the reading convolution its scale is no matter, and its weights will shrink under this term.
        data_size: N, for ``concrete`` only; None for the voxels of all training images.
        kwargs: the others of `SegmentationModule`.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: SegmentationLoss | None = None,
        concrete: bool = False,
        weight_prior: float = 1e-4,
        data_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, objective, **kwargs)
        if not any(layer.p > 0 for layer in _dropout_layers(self.network)):
            raise ProbsegError(
                "E_SCHEMA", "MonteCarloDropout needs a network with dropout; set dropout of the network above 0"
            )
        if weight_prior < 0 or (data_size is not None and data_size < 1):
            raise ProbsegError(
                "E_SCHEMA",
                "weight_prior of MonteCarloDropout must be at least 0 and data_size at least 1, but are "
                f"{weight_prior} and {data_size}",
            )
        if not concrete and (data_size is not None or weight_prior != 1e-4):
            raise ProbsegError("E_SCHEMA", "weight_prior and data_size are for concrete dropout; set concrete to true")
        self.weight_prior = weight_prior
        self.data_size = data_size
        self.concrete = make_concrete(self.network) if concrete else []
        self._outputs: list[LayerOutput] | None = None

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """``draws.count`` models of one reading each; what comes before the first dropout is computed once."""
        awake = [layer for layer in _dropout_layers(self.network) if layer.p > 0]
        network = self.network if torch.is_grad_enabled() else Replayed(self.network, awake)
        logits = []
        for k in range(draws.count):
            with channels_dropped(self.network, draws, k):
                logits.append(network(image))
        return SegmentationDistribution(torch.stack(logits)[:, None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the objective, and those of concrete dropout."""
        terms = super().loss(batch)
        if self.concrete:
            terms["concrete"] = self._regulariser(batch.image)
            terms["loss"] = terms["loss"] + terms["concrete"]
            terms["dropout"] = terms["loss"].new_tensor([layer.p for layer in self.concrete]).mean()
        return terms

    def _regulariser(self, image: Tensor) -> Tensor:
        """The divergence of the weights from their prior over N, nats."""
        if self._outputs is None:  # what reads what does not change in training, so it is found out once
            self._outputs = readers_of(self.network, image[:1], self.concrete)
        total = image.new_zeros(())
        for layer, output in zip(self.concrete, self._outputs, strict=True):
            weights = sum((reader.squares for reader in output.readers), start=image.new_zeros(()))
            total = total + self.weight_prior / 2 * weights / layer.kept - output.channels * layer.entropy
        return total / self._size_of_data(image)

    def _size_of_data(self, image: Tensor) -> int:
        if self.data_size is not None:
            return self.data_size
        loader = None if self._trainer is None else self._trainer.train_dataloader
        examples = getattr(loader, "examples", getattr(loader, "dataset", None))  # ours, or torch's
        if not isinstance(examples, Sized):
            raise ProbsegError(
                "E_SCHEMA",
                "concrete dropout cannot tell how many training images there are; set data_size of MonteCarloDropout",
            )
        return len(examples) * image[0, 0].numel()


def _dropout_layers(network: nn.Module) -> list[_DropoutNd | ConcreteDropout]:
    # Dropout2d is no subclass of Dropout
    return [m for m in network.modules() if isinstance(m, _DropoutNd | ConcreteDropout)]


@contextmanager
def channels_dropped(network: nn.Module, draws: Draws, draw: int) -> Iterator[None]:
    """Within this block every dropout layer drops the channels of draw ``draw``.

    All modules are in evaluation mode within it, the dropout layers too: what is dropped is done by hooks, which need
    no random numbers but the draw's. Modes are put back at the end, and buffers never change.
    """
    modes = [(module, module.training) for module in network.modules()]
    handles = [
        layer.register_forward_hook(_dropping(layer.p, draws.generator(draw, position)))
        for position, layer in enumerate(_dropout_layers(network))
        if 0 < layer.p < 1
    ]
    try:
        network.eval()
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


def _dropping(p: float, generator: torch.Generator) -> Any:
    start = generator.get_state()

    def drop(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]
        axis = channel_axis(x)
        generator.set_state(start)  # a layer that is called twice drops the same channels
        kept = torch.rand(x.shape[axis], generator=generator) >= p
        scale = (kept / (1 - p)).to(device=x.device, dtype=x.dtype)
        return x * scale.reshape(-1, *(1,) * (x.ndim - 1 - axis))

    return drop
