"""Settings judged as ``probseg fit`` would judge them, without data, trainer or training."""

from __future__ import annotations

import logging
import warnings
from argparse import ArgumentError, ArgumentTypeError
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from probseg.errors import ProbsegError
from probseg.models.loading import build_model
from probseg.training.command_line import TrainingCLI

__all__ = ["check_settings"]

# What a config leaves to others that are given beside it.
_OTHERS = ("--model=probseg.models.Deterministic", "--model.network=probseg.networks.UNet", "--data.root=lidc-sample")


class _Unrun(TrainingCLI):
    """Parses, and stops there."""

    def before_instantiate_classes(self) -> None:
        """No run folder is looked for."""

    def instantiate_classes(self) -> None:
        """Nothing is made, so that no data is opened."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing runs."""


def check_settings(path: Path, with_model: bool) -> None:
    """Parse the config at ``path`` as one of those of ``probseg fit -c``; build its model if it describes one.

    Raises:
        ProbsegError: E_SCHEMA, with what Lightning's parser or the class says.
    """
    others = ["--data.root=lidc-sample"] if with_model else list(_OTHERS)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries to one another; what is wrong with the config is raised
        try:
            cli = _Unrun.make(args=["fit", *others, "-c", str(path)])
            if with_model:
                _check_optimizer(build_model(cli.config["fit"].model.as_dict()))
        except (ArgumentError, ArgumentTypeError, MisconfigurationException, TypeError, ValueError) as error:
            if isinstance(error.__cause__, ProbsegError):  # jsonargparse lists it among the types that did not fit
                raise error.__cause__ from error
            raise ProbsegError("E_SCHEMA", f"'{path}': {' '.join(str(error).split())[:400]}") from error


def _check_optimizer(model: Any) -> None:
    """Make the optimiser of one number, which judges learning rate and weight decay."""
    for part in (model, *getattr(model, "members", ())):
        part.optimizer([nn.Parameter()])
