"""A line ``<!-- names: probseg.analysis -->`` becomes the reference of every name in that module's ``__all__``.

The names are read from the source, so that nothing is imported and no name can be forgotten.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"^<!-- names: ([\w.]+) -->$", flags=re.MULTILINE)


def source_of(module: str) -> Path:
    """The file of a module or package of this repository; FileNotFoundError where there is none."""
    path = ROOT.joinpath(*module.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not found.is_file():
        raise FileNotFoundError(f"the documentation names the module '{module}', which has no file '{found}'")
    return found


def public_names(module: str) -> list[str]:
    """What ``__all__`` of a module lists; ValueError where it has none."""
    for node in ast.parse(source_of(module).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))
    raise ValueError(f"the documentation names the module '{module}', which has no __all__")


def path_of(module: str, name: str) -> str:
    """Where a name is found: in the submodule, where one of the same name would hide it."""
    hidden = source_of(module).name == "__init__.py" and source_of(module).with_name(f"{name}.py").is_file()
    return f"{module}.{name}.{name}" if hidden else f"{module}.{name}"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for each page before it is rendered."""
    return MARKER.sub(lambda found: _entries(found[1]), markdown)


def _entries(module: str) -> str:
    names = sorted(public_names(module), key=str.casefold)
    return "\n\n".join(f"::: {path_of(module, name)}" for name in names)
