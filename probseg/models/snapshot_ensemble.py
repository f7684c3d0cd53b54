"""An ensemble for the price of one training: the weights at the end of every cycle of the learning rate."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError, warn
from probseg.models.base import SegmentationModule
from probseg.models.ensemble import asked_together
from probseg.models.snapshots import SNAPSHOTS, require_whole_training
from probseg.models.wrapper import Wrapper
from probseg.records import DatasetInfo

__all__ = ["SnapshotEnsemble"]


class SnapshotEnsemble(Wrapper):
    """``cycles`` snapshots of one model in training (Huang et al. 2017, arXiv:1704.00109), each a draw of the weights.

    The training is cut into M equal cycles. In each the learning rate of the member's optimiser begins at its highest
    and falls by the member's schedule, by default along a cosine to 0 (equation 2 of the paper),

        alpha(t) = alpha_0 / 2 (cos(pi mod(t - 1, ceil(T / M)) / ceil(T / M)) + 1),

    t the step of T; the first cycle is warmed up. At the end of each, near a minimum of its own, the weights are copied
    into an ensemble, which predicts as `Ensemble` does. Cycles are shares of the training, whether steps, epochs or
    time end it. Snapshots and how many were taken travel in the checkpoint, so an interrupted training goes on.

    The best checkpoint is the one with the most snapshots, so ``fit`` wants ``checkpoint.monitor`` to be
    ``validation/snapshots`` with ``checkpoint.mode`` ``max``, and no early stopping, which would end the training
    before its last cycle.

    Args:
        member: the model to train; of any family.
        cycles: M, at least 2. Each must be long enough for the member to get somewhere.
        draws: as in every family; split over the snapshots where these have readings of their own.
    """

    taken: Tensor

    def __init__(self, member: SegmentationModule, cycles: int = 5, draws: int = 16) -> None:
        if cycles < 2:
            raise ProbsegError("E_SCHEMA", f"cycles of a SnapshotEnsemble must be at least 2, but is {cycles}")
        super().__init__(member, cycles, draws)
        self.cycles = cycles
        self.snapshots = nn.ModuleList(copy.deepcopy(member) for _ in range(cycles))
        self.snapshots.requires_grad_(False)
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @property
    def _taken(self) -> list[SegmentationModule]:
        taken = list(self.snapshots)[: int(self.taken)]
        return [m for m in taken if isinstance(m, SegmentationModule)]

    def bind(self, info: DatasetInfo) -> None:
        """Tell member and snapshots what their data are."""
        super().bind(info)
        for snapshot in self.snapshots:
            assert isinstance(snapshot, SegmentationModule)
            snapshot.bind(info)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """The snapshots along the model axis; before there is one, the member as it is."""
        return asked_together(self._taken or [self.member], image, draws)

    # -- training -----------------------------------------------------------------------------------------------------

    def take_snapshot(self) -> None:
        """Copy the member's weights into the next place."""
        self.snapshots[int(self.taken)].load_state_dict(self.member.state_dict())
        self.taken += 1

    def setup(self, stage: str) -> None:
        """As `Wrapper`; refuses what would end the training, or keep a checkpoint, before the last cycle."""
        super().setup(stage)
        if stage == "fit":
            require_whole_training(self.trainer, "SnapshotEnsemble")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Take what the last step of a cycle left; not at its end, where a checkpoint may come first or second."""
        if int(self.taken) < min(math.floor(self._progress() * self.cycles), self.cycles - 1):
            self.take_snapshot()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The last cycle ends with the training, and the validation that follows sees its snapshot."""
        if self._progress() >= 1 and int(self.taken) < self.cycles:
            self.take_snapshot()

    def on_train_end(self) -> None:
        """Tell of snapshots that are lacking."""
        if int(self.taken) < self.cycles:
            warn(
                "W_FEW_SNAPSHOTS",
                f"the training ended with {int(self.taken)} of {self.cycles} snapshots; train longer or lower cycles",
            )

    def _rate(self, progress: float) -> float:
        cycle = min(math.floor(progress * self.cycles), self.cycles - 1)
        within = progress * self.cycles - cycle
        return super()._rate(within) if cycle == 0 else self.schedule(within)

    def _log_figures(self, stage: str) -> None:
        super()._log_figures(stage)
        if stage == "validation":
            self.log(SNAPSHOTS, self.taken.float(), sync_dist=False)
