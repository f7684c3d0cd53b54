"""Patterns such as ``masks/{rater}/{case}.nii.gz``: which files they mean, and what each name says."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["every_file", "find", "has_placeholder", "placeholders"]

_PART = re.compile(r"\{(\w*)\}|(\*\*/)|([*?])")


def placeholders(pattern: str, allowed: Collection[str], option: str) -> list[str]:
    """The names in braces, each once; E_USAGE where one is not among ``allowed``."""
    found = list(dict.fromkeys(m[1] for m in _PART.finditer(pattern) if m[1] is not None))
    strange = [name for name in found if name not in allowed]
    if strange:
        known = ", ".join(f"{{{name}}}" for name in allowed)
        raise ProbsegError("E_USAGE", f"{option} has no placeholder '{{{strange[0]}}}'; there are {known}")
    return found


def has_placeholder(text: str) -> bool:
    """Whether anything stands in braces."""
    return any(m[1] is not None for m in _PART.finditer(text))


def find(pattern: str, known: Mapping[str, str]) -> list[tuple[Path, dict[str, str]]]:
    """The files that a pattern means, sorted, each with what its name says for the placeholders that are not known.

    Args:
        pattern: ``{name}`` stands for a part of a name without a slash; ``*``, ``?`` and ``**/`` are as in a shell.
        known: values to put in, taken literally.
    """
    wild, exact, literal = "", "", ""
    for text, match in _parts(pattern):
        wild += glob.escape(text)
        literal += text
        exact += re.escape(text)
        if match is None:
            continue
        name = match[1]
        if name is not None and name in known:
            wild += glob.escape(known[name])
            literal += known[name]
            exact += re.escape(known[name])
        elif name is not None:
            wild += "*"
            exact += f"(?P={name})" if f"(?P<{name}>" in exact else f"(?P<{name}>[^/]+?)"
        else:
            wild += match[0]
            exact += {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}[match[0]]
    if all(m[1] in known for m in _PART.finditer(pattern)):
        return [(Path(literal), {})] if os.path.lexists(literal) else []
    compiled = re.compile(exact, re.DOTALL)
    found = []
    for name in sorted(glob.glob(wild, recursive=True)):  # noqa: PTH207  # patterns may be absolute
        match = compiled.fullmatch(name)
        if match and Path(name).is_file():
            found.append((Path(name), match.groupdict()))
    return found


def every_file(pattern: str) -> set[Path]:
    """Every file that the pattern could mean, whatever stands for its placeholders."""
    return {path for path, _ in find(pattern, {})}


def _parts(pattern: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    start = 0
    for match in _PART.finditer(pattern):
        yield pattern[start : match.start()], match
        start = match.end()
    yield pattern[start:], None
