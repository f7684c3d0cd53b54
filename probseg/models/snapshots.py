"""Families whose answer is complete only at the end of a training: what must not end it, or be kept, before."""

from __future__ import annotations

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from probseg.errors import ProbsegError

__all__ = ["SNAPSHOTS", "require_whole_training"]

SNAPSHOTS = "validation/snapshots"
"""The figure by which such a family's best checkpoint is chosen: how many snapshots of the weights it has."""


def require_whole_training(trainer: Trainer, family: str) -> None:
    """Refuse callbacks that may end the training, or keep a checkpoint, before all snapshots are taken: E_SCHEMA."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's connector
        if isinstance(callback, EarlyStopping):
            raise ProbsegError(
                "E_SCHEMA",
                f"{family} takes snapshots of the weights until the end of the training, which EarlyStopping may never "
                "reach; leave it out with --trainer.callbacks=null",
            )
        if isinstance(callback, ModelCheckpoint) and callback.monitor not in (None, SNAPSHOTS):
            raise ProbsegError(
                "E_SCHEMA",
                f"a checkpoint chosen by {callback.monitor} may lack snapshots of {family}; set "
                f"--checkpoint.monitor={SNAPSHOTS} --checkpoint.mode=max",
            )
