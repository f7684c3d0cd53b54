"""The shape of the package: imports go down the layers only, and the lower half starts without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "probseg"

# From the ground up; a module imports from layers below its own, or from beside it in its own layer.
LAYERS = (
    {"errors", "family", "memory", "parallel", "progress"},
    {"case", "labels"},
    {"records"},
    {"io", "zoo"},
    {"manifest", "joining"},
    {"store"},
    {"survey", "adaptation"},
    {"fusion", "analysis", "importing", "splits"},
    {"evaluation"},
    {"batch", "distribution", "likelihood", "maps"},
    {"data", "networks", "metrics"},
    {"calibrators"},
    {"models"},
    {"inference", "results", "calibration_results"},
    {"report"},
    {"exporting"},
    {"training", "adapting", "checking", "demo", "commands", "cli", "__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
WITHOUT_TORCH = set().union(*LAYERS[: RANK["evaluation"] + 1])


def modules() -> dict[str, ast.Module]:
    """Dotted name to syntax tree of every module; a package is named as its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def layer_of(module: str) -> str:
    """``probseg.io.dicom`` lies in ``io``."""
    return module.split(".")[1]


def imported(tree: ast.AST) -> set[str]:
    """Absolute names of everything imported anywhere in a module, inside functions as well.

    ``from a import b`` counts as ``a.b`` where that is a module of ours and as ``a`` otherwise.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in MODULES else str(node.module))
    return names


IMPORTS = {name: imported(tree) for name, tree in MODULES.items()}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"probseg"}))
def test_imports_go_down_only(module: str) -> None:
    assert layer_of(module) in RANK, f"{module} has no layer; give it one in LAYERS"
    for name in IMPORTS[module]:
        if name.startswith("probseg."):
            assert RANK[layer_of(name)] <= RANK[layer_of(module)], f"{module} imports {name}, which lies above it"


def test_imports_never_go_round() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for name in sorted(IMPORTS[module] & set(MODULES) - {module}):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())
    assert done == set(MODULES)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m == "probseg" or layer_of(m) in WITHOUT_TORCH))
def test_the_lower_half_names_no_torch(module: str) -> None:
    tops = {name.split(".")[0] for name in IMPORTS[module]}
    assert not tops & {"torch", "pytorch_lightning", "lightning", "torchmetrics", "monai"}


def test_the_lower_half_starts_without_torch() -> None:
    names = sorted(m for m in MODULES if m == "probseg" or layer_of(m) in WITHOUT_TORCH)
    assert {"probseg.analysis", "probseg.case", "probseg.labels", "probseg.records", "probseg.manifest"} <= set(names)
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'pytorch_lightning', 'monai'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [m for m in MODULES if drawers & set(m.split("."))] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_bare_except(module: str) -> None:
    handlers = [node for node in ast.walk(MODULES[module]) if isinstance(node, ast.ExceptHandler)]
    assert [node.lineno for node in handlers if node.type is None] == []


def test_the_walk_sees_an_import_inside_a_function() -> None:
    tree = ast.parse("def f():\n    from probseg import cli\n    import torch.nn\n")
    assert imported(tree) in ({"probseg.cli", "torch.nn"}, {"probseg", "torch.nn"})
