"""Models that come with the package, to start from: exported folders, one a name, each with its card."""

from __future__ import annotations

from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["PREFIX", "located", "model_folder", "model_names", "typed"]

PREFIX = "zoo:"
"""``zoo:NAME`` stands for a bundled model wherever a run is asked for."""

_HOME = Path(__file__).parent


def model_names() -> tuple[str, ...]:
    """Names of the bundled models, sorted."""
    return tuple(sorted(p.parent.name for p in _HOME.glob("*/model.json")))


def model_folder(name: str) -> Path:
    """The exported folder of a bundled model.

    Raises:
        ProbsegError: E_UNKNOWN_MODEL where there is none of this name.
    """
    if name not in model_names():
        raise ProbsegError(
            "E_UNKNOWN_MODEL", f"no bundled model is called '{name[:40]}'; there are {', '.join(model_names())}"
        )
    return _HOME / name


def located(run: str | Path) -> Path:
    """A run as a path: ``zoo:NAME`` is the folder of a bundled model, anything else is what it says."""
    text = str(run)
    return model_folder(text.removeprefix(PREFIX)) if text.startswith(PREFIX) and not Path(text).exists() else Path(run)


def typed(path: Path) -> str:
    """How a user names a model on a command line, the inverse of `located`: a bundled one is ``zoo:NAME``."""
    home = path if path.is_dir() else path.parent
    return f"{PREFIX}{home.name}" if home.parent == _HOME else str(path)
