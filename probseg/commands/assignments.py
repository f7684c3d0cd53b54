"""``NAME=VALUE`` words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from probseg.errors import ProbsegError

__all__ = ["assignments"]


def assignments(words: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Names and their values, which are read as YAML.

    Raises:
        ProbsegError: E_USAGE for a word that is no assignment, or a name that comes twice.

    Example:
        >>> assignments(["width=16", "pull=1.0e-4"])
        {'width': 16, 'pull': 0.0001}
    """
    import yaml

    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name or name in found:
            raise ProbsegError("E_USAGE", f"{option} takes NAME=VALUE, each name once, but got '{word}'")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ProbsegError("E_USAGE", f"the value of {option} '{word}' is no YAML") from error
    return found
