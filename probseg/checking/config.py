"""A config as ``probseg fit -c`` would take it, short of training."""

from __future__ import annotations

from pathlib import Path

from probseg.checking.finding import Finding
from probseg.errors import ProbsegError
from probseg.io.guard import file_size, is_folder
from probseg.io.strict_yaml import read_yaml

__all__ = ["check_config"]


def check_config(path: Path) -> Finding:
    """Parse a config, which may be one of several that belong together, and build its model.

    Raises:
        ProbsegError: E_PARSE where it is no YAML of plain values, E_SCHEMA where a key, a class or a value is wrong.
    """
    if not is_folder(path) and path.is_file() and path.stat().st_size == 0:
        return _finding({})
    file_size(path)
    data = read_yaml(path, finite=False)
    if data is None:
        return _finding({})
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must be a mapping, with keys such as model, data and trainer")
    from probseg.training.settings import check_settings

    check_settings(path, _names_a_model(data.get("model")))
    return _finding(data)


def _names_a_model(model: object) -> bool:
    """Whether it says which model; a config that is laid over another's may only change some of its settings."""
    return model is not None and (not isinstance(model, dict) or "class_path" in model)


def _finding(data: dict) -> Finding:
    keys = [str(k) for k in data]
    return Finding({"kind": "config", "keys": keys}, [f"config    with {', '.join(keys) if keys else 'no keys'}"])
