"""YAML without its traps: no objects, no key twice, no bombs of aliases, no numbers that are none."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from probseg.errors import ProbsegError
from probseg.io.guard import file_size

__all__ = ["read_yaml", "yaml_text"]

_MOST_BYTES = 2**20
_MOST_NODES = 20_000  # once every alias is followed
_FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)|[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)"
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, for which 1e-3 is a number as in YAML 1.2 and not a text, and which stops in time."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As it is, but counted: it takes a minute to read what is refused afterwards."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise _TooManyError
        return super().compose_node(parent, index)


class _TooManyError(Exception):
    pass


class _Dumper(yaml.SafeDumper):
    """Writes a text such as 1e3 in quotes, so that `_Loader` reads a text."""


for _kind in (_Loader, _Dumper):
    _kind.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+.0123456789"))


def yaml_text(data: Any) -> str:
    """Plain types as YAML, keys in their order, which `read_yaml` reads back as they are."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_yaml(path: str | Path, finite: bool = True) -> Any:
    """The content of a YAML or JSON file in plain types; None where it holds nothing but comments.

    Args:
        path: UTF-8 text.
        finite: whether NaN and infinity are refused.

    Raises:
        ProbsegError: the codes of `probseg.io.guard.file_size`; E_TOO_LARGE above 1 MiB; E_PARSE where it is no YAML of
            plain types, names a key twice, grows beyond measure by aliases, or holds NaN or infinity.
    """
    path = Path(path)
    size = file_size(path)
    if size > _MOST_BYTES:
        raise ProbsegError("E_TOO_LARGE", f"'{path}' has {size} bytes, but a description has at most {_MOST_BYTES}")
    try:
        loader = _Loader(path.read_text(encoding="utf-8-sig"))
        root = loader.get_single_node()
        if root is None:
            return None
        _check_size(root, path)
        data = loader.construct_document(root)
    except UnicodeDecodeError as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not UTF-8 text; save it as UTF-8") from error
    except _TooManyError:
        raise _too_many(path) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark else ""
        raise ProbsegError("E_PARSE", f"'{path}' is not YAML of plain values{where}; correct it") from error
    if finite:
        _check_numbers(data, path)
    return data


def _check_size(root: yaml.Node, path: Path) -> None:
    """How many values there are once aliases are followed, and whether a mapping names a key twice."""
    sizes: dict[int, int] = {}
    entered = {id(root)}
    stack = [(root, iter(_children(root)))]
    while stack:
        node, rest = stack[-1]
        child = next((c for c in rest if id(c) not in sizes), None)
        if child is not None:
            if id(child) in entered:
                raise ProbsegError("E_PARSE", f"'{path}' holds an alias of what it lies in itself; write it out")
            entered.add(id(child))
            stack.append((child, iter(_children(child))))
            continue
        _check_keys(node, path)
        sizes[id(node)] = 1 + sum(sizes[id(c)] for c in _children(node))
        if sizes[id(node)] > _MOST_NODES:
            raise _too_many(path)
        stack.pop()


def _too_many(path: Path) -> ProbsegError:
    return ProbsegError("E_PARSE", f"'{path}' grows beyond {_MOST_NODES} values; shorten it or its aliases")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(node: yaml.Node, path: Path) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if len(set(keys)) < len(keys):
        twice = Counter(keys).most_common(1)[0][0][1]
        line = node.start_mark.line + 1
        raise ProbsegError("E_PARSE", f"'{path}' names the key '{twice[:40]}' twice in the block at line {line}")


def _check_numbers(data: Any, path: Path) -> None:
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise ProbsegError("E_PARSE", f"'{path}' holds a number that is NaN or infinite; write a finite one")
        if isinstance(value, dict):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            stack += value
