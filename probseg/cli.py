"""The command ``probseg``: looks at the first word and imports only what that command needs."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TextIO

from probseg.errors import ProbsegError, ProbsegWarning, held_warnings
from probseg.memory import use_large_pages

__all__ = ["main"]

_TRAINING = {
    "fit": "train a model on the masks of all raters",
    "validate": "every figure on the validation patients",
    "test": "every figure on the test patients, with intervals",
}
# Command to module of probseg.commands, in the order in which they are met.
_COMMANDS = {
    "demo": ("demo", "train four families on the bundled sample and compare them with the raters"),
    "import": ("import_", "sources to a dataset folder"),
    "prepare": ("prepare", "convert a dataset once, for fast training"),
    "check": ("check", "is this image, dataset, checkpoint or config sound?"),
    "split": ("split", "patients to train, validation, calibration and test"),
    "calibrate": ("calibrate", "after training, make stated probabilities those with which raters agree"),
    "predict": ("predict", "uncertainty maps of new scans"),
    "adapt": ("adapt", "a trained model brought to another site, as a run of its own"),
    "agreement": ("agreement", "how far raters agree with one another"),
    "evaluate": ("evaluate", "predictions against the raters: distributions, calibration, volumes"),
    "export": ("export", "a trained model as a folder that others can use"),
    "compare": ("compare", "tested runs side by side, as CSV, Markdown and LaTeX"),
    "report": ("report", "one self-contained page of runs and agreement"),
}


def _usage() -> str:
    lines = ["usage: probseg COMMAND ... (probseg COMMAND --help tells more)", ""]
    commands = {**_TRAINING, **{name: text for name, (_, text) in _COMMANDS.items()}}
    lines += [f"  {name:<10} {text}" for name, text in commands.items()]
    return "\n".join([*lines, "", "example: probseg demo --out demo"])


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are probseg's: one line."""

    def error(self, message: str) -> None:  # type: ignore[override]  # raises, as argparse wants
        """Raise what `main` prints."""
        raise ProbsegError("E_USAGE", f"{message}; see {self.prog} --help")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, ProbsegWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        from probseg import __version__

        print(__version__)
        return 0
    name, rest = argv[0], list(argv[1:])
    lightning_form = name == "predict" and any(a in ("-c", "--config") or a.startswith("--config=") for a in rest)
    if name in _TRAINING or lightning_form:
        from probseg.training import run_training

        return run_training([name, *rest])
    if name not in _COMMANDS:
        known = ", ".join([*_TRAINING, *_COMMANDS])
        raise ProbsegError("E_USAGE", f"there is no command '{name}'; the commands are {known}")
    module: ModuleType = importlib.import_module(f"probseg.commands.{_COMMANDS[name][0]}")
    parser = _Parser(
        prog=f"probseg {name}",
        description=module.DESCRIPTION,
        epilog=f"example: {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    args = parser.parse_args(rest)
    with held_warnings():  # so that an error stands alone
        return int(module.run(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: words after ``probseg``; None for those of the process.

    Returns:
        Exit status: 0 when all went well, 2 after an error, which stands on stderr as one line.
    """
    use_large_pages()
    with warnings.catch_warnings():
        warnings.simplefilter("default", ProbsegWarning)
        warnings.showwarning = _show_warning
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        except ProbsegError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("error: E_INTERRUPTED: stopped by the user", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output, such as head, went away
            return 141
