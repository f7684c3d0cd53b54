"""A training command from its words to its exit status: quiet libraries, one line for whatever goes wrong."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from pathlib import Path

from pytorch_lightning.utilities.exceptions import MisconfigurationException

from probseg.errors import ProbsegError
from probseg.io.strict_yaml import read_yaml
from probseg.training.advice import without_advice
from probseg.training.command_line import TrainingCLI, shortened
from probseg.training.faults import fault_of, is_a_consequence, is_first_process
from probseg.training.stop_signals import TrainingStopped

__all__ = ["run_training"]


def run_training(argv: list[str]) -> int:
    """Run a Lightning subcommand; every error of the configuration is one line of E_PARSE or E_SCHEMA.

    Returns:
        The exit status: 0, or 128 and the number of the signal that ended a training after its checkpoint was saved.
    """
    for path in _configs(argv):
        read_yaml(
            path, finite=False
        )  # the parser would take the last of two equal keys, and follow aliases without end
    before = sys.argv
    sys.argv = [before[0], *argv]  # the first word and these are how Lightning starts further processes
    with without_advice():
        try:
            return _run()
        finally:
            sys.argv = before


def _run() -> int:
    try:
        TrainingCLI.make()
    except TrainingStopped as stop:
        if not is_first_process():  # one process tells; that these end is no fault
            return 0
        name = signal.Signals(stop.number).name
        print(f"stopped by {name} after step {stop.step}; the same command with --resume goes on", file=sys.stderr)
        return stop.status
    except (argparse.ArgumentError, argparse.ArgumentTypeError, MisconfigurationException) as error:
        raise ProbsegError("E_SCHEMA", shortened(str(error))) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning's answer to a second Ctrl-C
            raise KeyboardInterrupt from error
        raise
    except RuntimeError as error:
        if is_a_consequence(error):
            return 2
        known = fault_of(error)
        if known is None:
            raise
        raise known from error
    return 0


def _configs(argv: list[str]) -> list[Path]:
    """The config files that the arguments name, but for empty ones, which say nothing."""
    named = [b for a, b in itertools.pairwise(argv) if a in ("-c", "--config")]
    named += [a.removeprefix("--config=") for a in argv if a.startswith("--config=")]
    return [Path(name) for name in named if os.path.isfile(name) and os.path.getsize(name)]  # noqa: PTH113, PTH202
