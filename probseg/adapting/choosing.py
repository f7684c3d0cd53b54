"""A method of adaptation by its name."""

from __future__ import annotations

import json
from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from probseg.adapting.entropy_minimisation import EntropyMinimisation
from probseg.adapting.fine_tune import FineTune
from probseg.adapting.method import AdaptationMethod
from probseg.adapting.normalisation_statistics import NormalisationStatistics
from probseg.adapting.recalibration import Recalibration
from probseg.errors import ProbsegError

__all__ = ["build_method"]

# A short name is looked for among classes that are imported.
_OWN = (EntropyMinimisation, FineTune, NormalisationStatistics, Recalibration)


def build_method(name: str, settings: Mapping[str, Any]) -> tuple[AdaptationMethod, dict[str, Any]]:
    """A method, and ``class_path`` and ``init_args`` with all of its settings.

    Args:
        name: of a class of this package, such as ``FineTune``, or any class path.
        settings: arguments of the class.

    Raises:
        ProbsegError: E_SCHEMA where there is no such class or it refuses its settings.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(AdaptationMethod, "method")
    try:
        parsed = parser.parse_object({"method": {"class_path": name, "init_args": dict(settings)}})
        method = parser.instantiate(parsed).method
    except (ArgumentError, ArgumentTypeError, TypeError, ValueError) as error:
        if isinstance(error.__cause__, ProbsegError):
            raise error.__cause__ from error
        raise ProbsegError("E_SCHEMA", f"--method {name} {_fault(name, settings)}") from error
    given = parsed.method.get("init_args") or Namespace()
    path = f"{type(method).__module__}.{type(method).__name__}"
    return method, {"class_path": path, "init_args": json.loads(json.dumps(given.as_dict()))}


def _fault(name: str, settings: Mapping[str, Any]) -> str:
    """Whether it is the name or the settings."""
    known = [kind.__name__ for kind in _OWN]
    if name.rpartition(".")[2] in known:
        return f"does not take --set {' '.join(f'{k}={v}' for k, v in settings.items())}; see its docstring"
    return f"names no class; the methods are {', '.join(known)}, or a class path"
