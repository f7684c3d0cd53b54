"""Weights drawn from a Gaussian that is fitted to the end of one training."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.snapshots import SNAPSHOTS, require_whole_training
from probseg.models.wrapper import Wrapper
from probseg.records import DatasetInfo

__all__ = ["SWAG"]

_SPREAD, _COLUMNS = 1, 2  # which random numbers of a draw


class SWAG(Wrapper):
    """Draws of the weights from a Gaussian over the weights that one training ran through at its end.

    Maddox et al. (2019), arXiv:1902.02476. Over the tail of the training, at a constant learning rate, the weights
    theta_i are collected ``snapshots`` times. Kept are their mean, the variance of each, and the last K deviations
    D from the running mean, all of them buffers that travel in the checkpoint. Draw k is

        theta = theta_SWA + scale * (Sigma_diag^(1/2) z_1 / sqrt(2) + D z_2 / sqrt(2 (K - 1))),   z ~ N(0, I),

    one set of weights for every slice and window, and a model on the model axis; the member itself is never written to.

    Maddox et al. go through the training images again to find batch norm's statistics under each drawn theta, which a
    prediction cannot do. Here the running means and log variances of batch norm are coordinates of the same Gaussian:
    they are collected with the weights that they belong to and move with them along D, right to first order, without
    noise of their own. Their mean is that of the snapshots and not what the mean weights would give. A network with
    group or instance norm has no such statistics, and a draw of it is exact.

    Until the tail begins the learning rate falls as in every family, but not below ``rate``. The best checkpoint is
    the one with the most snapshots, so ``fit`` wants ``checkpoint.monitor`` to be ``validation/snapshots`` with
    ``checkpoint.mode`` ``max`` and no early stopping, which would end the training before the tail.

    Args:
        member: the model to train; of any family.
        start: share of the training after which the tail begins.
        rate: learning rate of the tail as a share of the highest.
        snapshots: how often weights are collected, evenly over the tail; at most once a step.
        rank: K, how many of the deviations are kept.
        scale: factor on all deviations; 1 is the paper's.
        models: sets of weights for a member with readings of its own, each for an equal share of the draws. A member
            with one answer gets as many sets as there are draws.
        draws: as in every family.
    """

    mean: Tensor
    squares: Tensor
    deviations: Tensor
    collected: Tensor

    def __init__(
        self,
        member: SegmentationModule,
        start: float = 0.75,
        rate: float = 0.3,
        snapshots: int = 30,
        rank: int = 20,
        scale: float = 1.0,
        models: int = 4,
        draws: int = 16,
    ) -> None:
        super().__init__(member, models, draws)
        if not 0 <= start < 1 or not 0 < rate <= 1 or snapshots < 2 or rank < 2 or scale < 0:
            raise ProbsegError(
                "E_SCHEMA",
                "SWAG needs start from 0 to below 1, rate above 0 to 1, snapshots and rank of at least 2 and scale of "
                f"at least 0, but they are {start}, {rate}, {snapshots}, {rank} and {scale}",
            )
        self.start = start
        self.rate = rate
        self.snapshots = snapshots
        self.scale = scale
        self.rank = min(rank, snapshots)
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("squares", torch.zeros(0))  # sum of squared deviations, by Welford's recursion
        self.register_buffer("deviations", torch.zeros(self.rank, 0))
        self.register_buffer("collected", torch.zeros((), dtype=torch.int64))

    def bind(self, info: DatasetInfo) -> None:
        """As in `Wrapper`; makes room for the weights, of which some families have all only now."""
        super().bind(info)
        self._make_room()

    def _make_room(self) -> None:
        if not len(self.mean):
            length = len(self._coordinates())
            self.mean, self.squares = self.mean.new_zeros(length), self.squares.new_zeros(length)
            self.deviations = self.deviations.new_zeros(self.rank, length)

    # -- the weights as one vector ------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, Tensor]:
        """Every parameter of the member by name."""
        return dict(self.member.named_parameters())

    def _statistics(self) -> dict[str, Tensor]:
        """Running means and variances of the member's batch norms by name."""
        norms = [(name, m) for name, m in self.member.named_modules() if isinstance(m, _NormBase)]
        kinds = ("running_mean", "running_var")
        found = {f"{name}.{kind}".lstrip("."): getattr(m, kind) for name, m in norms for kind in kinds}
        return {name: value for name, value in found.items() if value is not None}

    @torch.no_grad()
    def _coordinates(self) -> Tensor:
        """Weights, then statistics, as they are now; variances by their logarithms, so that no draw is negative."""
        tiny = torch.finfo(torch.float32).tiny
        parts = [value.detach().flatten().float() for value in self._weights().values()]
        parts += [
            (value.float().clamp(min=tiny).log() if name.endswith("running_var") else value.float()).flatten()
            for name, value in self._statistics().items()
        ]
        return torch.cat(parts)

    def _by_name(self, coordinates: Tensor) -> dict[str, Tensor]:
        """What `_coordinates` strung together, each by its name."""
        parts = {**self._weights(), **self._statistics()}
        pieces = coordinates.split([value.numel() for value in parts.values()])
        named = {}
        for (name, value), piece in zip(parts.items(), pieces, strict=True):
            piece = piece.exp() if name.endswith("running_var") else piece
            named[name] = piece.reshape(value.shape).to(value.dtype)
        return named

    def mean_weights(self) -> dict[str, Tensor]:
        """The mean of the snapshots, weights and statistics of the member by name."""
        return self._by_name(self.mean)

    # -- collecting ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def collect(self) -> None:
        """Count the present weights in."""
        self._make_room()
        now, number = self._coordinates(), int(self.collected)
        before = now - self.mean
        self.mean += before / (number + 1)
        after = now - self.mean
        self.squares += before * after
        self.deviations[number % self.rank] = after
        self.collected += 1

    def setup(self, stage: str) -> None:
        """As `Wrapper`; refuses what would end the training, or keep a checkpoint, before the tail."""
        super().setup(stage)
        if stage == "fit":
            require_whole_training(self.trainer, "SWAG")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Collect what the last step left, when it is time.

        Not at the end of that step: a checkpoint that is written there must not depend on which of the two came first.
        """
        tail = (self._progress() - self.start) / (1 - self.start)
        if int(self.collected) < min(math.floor(tail * self.snapshots + 1e-9), self.snapshots):
            self.collect()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect the last weights, so that the validation that follows has them."""
        if self._progress() >= 1 and int(self.collected) < self.snapshots:
            self.collect()

    def _rate(self, progress: float) -> float:
        if progress >= self.start:
            return self.rate
        progress = progress / self.start
        return super()._rate(progress) if progress < self.warmup else max(super()._rate(progress), self.rate)

    def _log_figures(self, stage: str) -> None:
        super()._log_figures(stage)
        if stage == "validation":
            self.log(SNAPSHOTS, self.collected.float(), sync_dist=False)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def drawn(self, draws: Draws, draw: int) -> dict[str, Tensor]:
        """Weights and statistics of draw ``draw`` by name; the same whatever the image and however many are drawn."""
        columns = min(int(self.collected), self.rank)
        z1 = torch.randn(len(self.mean), generator=draws.generator(draw, _SPREAD)).to(self.mean)
        z2 = torch.randn(self.rank, generator=draws.generator(draw, _COLUMNS)).to(self.mean)
        weights = sum(value.numel() for value in self._weights().values())
        spread = (self.squares / self.collected / 2).sqrt() * z1
        spread[weights:] = 0.0
        return self._by_name(self.mean + self.scale * (spread + z2 @ self.deviations / math.sqrt(2 * (columns - 1))))

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """Sets of weights times the member's models along the model axis, and the member's readings.

        While ``fit`` has not come to its second snapshot, what the member says as it is.

        Raises:
            ProbsegError: E_NO_SNAPSHOTS with fewer than two snapshots, but for validation within ``fit``.
        """
        if int(self.collected) < 2:
            if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
                return self.member(image, draws)
            raise ProbsegError(
                "E_NO_SNAPSHOTS",
                f"SWAG has collected {int(self.collected)} snapshots of its weights and needs two; train on, start "
                "earlier, or take a later checkpoint",
            )

        def answer(draw: int, share: Draws) -> SegmentationDistribution:
            return functional_call(self.member, self.drawn(draws, draw), (image, share))

        return self._repeated(draws, answer)
