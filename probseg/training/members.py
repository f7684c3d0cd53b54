"""The training of an ensemble: each member a run of its own, then their weights in one checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer

from probseg.models import Ensemble
from probseg.models.checkpoints import best_checkpoint, describe, read_checkpoint
from probseg.training.checkpoint_files import WholeCheckpoints
from probseg.training.fitting import Record

__all__ = ["compose_members", "member_settings"]


def member_settings(settings: Any, run: Path, number: int) -> Any:
    """The settings of one member: the member's model, a seed of its own, a folder below ``members``."""
    member = settings.clone()
    member.model = settings.model.init_args.member
    member.seed_everything = settings.seed_everything + number
    member.out = str(run / "members" / str(number))
    return member


def compose_members(
    trainer: Trainer, ensemble: Ensemble, data: LightningDataModule, run: Path, fit: Callable[[int], Path]
) -> Record:
    """Train every member, put their best weights together and validate the whole.

    Args:
        trainer: of the ensemble; trains nothing itself.
        ensemble: gets the members' weights.
        data: what it is validated on.
        run: folder of the ensemble.
        fit: trains the member of a number and returns its run folder.
    """
    runs = [fit(k) for k in range(len(ensemble.members))]
    ensemble.bind(data.info)  # type: ignore[attr-defined]  # of MultiRaterData
    ensemble.compose([read_checkpoint(best_checkpoint(member))["state_dict"] for member in runs])
    trainer.validate(ensemble, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        checkpoint = {"state_dict": ensemble.state_dict(), "probseg": describe(ensemble.info, ensemble.config)}
        for name in ("best.ckpt", "last.ckpt"):
            WholeCheckpoints().save_checkpoint(checkpoint, run / "checkpoints" / name)
    records = [Record.read(member) for member in runs]
    return Record(
        train_seconds=round(sum(r["train_seconds"] for r in records), 1),
        epochs=sum(r["epochs"] for r in records),
        steps=sum(r["steps"] for r in records),
        seed=records[0]["seed"],
        warm_start=records[0]["warm_start"],
        threads=torch.get_num_threads(),
        precision=str(trainer.precision),
    )
