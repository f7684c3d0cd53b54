"""The reference is complete: every command has its help in it, and every public name of every package a place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from probseg.cli import main

griffe = pytest.importorskip("griffe")

# Packages whose names are for other modules of probseg, and stand in no page.
INTERNAL = {"probseg.demo", "probseg.importing.lidc"}


@pytest.fixture(scope="module")
def names(building: Callable[[str], ModuleType]) -> ModuleType:
    return building("public_names")


@pytest.fixture(scope="module")
def documented(repository: Path, names: ModuleType) -> list[str]:
    """The modules whose names the pages of the reference list."""
    pages = sorted((repository / "docs" / "reference" / "api").glob("*.md"))
    return [module for page in pages for module in names.MARKER.findall(page.read_text(encoding="utf-8"))]


def test_every_package_with_public_names_stands_in_one_page(repository: Path, documented: list[str]) -> None:
    assert len(set(documented)) == len(documented)
    packages = {
        ".".join(file.parent.relative_to(repository).parts)
        for file in (repository / "probseg").rglob("__init__.py")
        if "__all__" in file.read_text(encoding="utf-8")
    }
    assert packages - {"probseg"} - INTERNAL - set(documented) == set()


def test_every_public_name_is_found_in_the_source(repository: Path, names: ModuleType, documented: list[str]) -> None:
    """What cannot be found would end the build; give each constant a line of its own."""
    package = griffe.load("probseg", search_paths=[str(repository)], allow_inspection=False)
    lost = []
    for module in documented:
        for name in names.public_names(module):
            path = names.path_of(module, name).removeprefix("probseg.")
            try:
                found = package[path]
                found = found.final_target if found.is_alias else found
            except (KeyError, griffe.AliasResolutionError):
                lost.append(path)
                continue
            assert found.kind.value != "module", path
    assert lost == []


def test_a_marker_becomes_an_entry_a_name(names: ModuleType) -> None:
    page = names.on_page_markdown("before\n\n<!-- names: probseg.maps -->\n\nafter")
    assert page == "before\n\n::: probseg.maps.UncertaintyMaps\n\nafter"
    assert names.path_of("probseg.analysis", "bootstrap") == "probseg.analysis.bootstrap.bootstrap"
    with pytest.raises(FileNotFoundError, match=r"probseg\.nowhere"):
        names.on_page_markdown("<!-- names: probseg.nowhere -->")
    with pytest.raises(ValueError, match=r"probseg\.__main__"):
        names.public_names("probseg.__main__")


def test_every_command_and_kind_of_import_has_its_help(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    shown = {found.strip() for found in re.findall(r"<!-- help:(.*) -->", page)}
    assert main(["--help"]) == 0
    commands = set(re.findall(r"^  ([a-z]+) ", capsys.readouterr().out, flags=re.MULTILINE)) - {"validate", "test"}
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    kinds = set(re.findall(r"^    ([a-z-]+)\b", capsys.readouterr().out, flags=re.MULTILINE))
    assert {"dicom", "label-studio"} <= kinds
    assert shown == {""} | commands | {f"import {kind}" for kind in kinds}


def test_help_is_that_of_the_command_and_safe_in_a_page(
    building: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    helps = building("command_help")
    monkeypatch.setenv("COLUMNS", "40")
    text = helps.help_text(["split"])
    assert text.startswith("usage: probseg split") and "--leave-site-out" in text
    assert max(map(len, text.splitlines()[:3])) > 40
    page = helps.on_page_markdown("<!-- help: import dicom -->")
    assert "[[RATER[:CLASS]=]PATTERN" in page and "<pre>" in page and "'anna" not in page
    with pytest.raises(RuntimeError, match="nothing-of-the-kind"):
        helps.help_text(["nothing-of-the-kind"])


def test_examples_become_code(building: Callable[[str], ModuleType]) -> None:
    plural = building("example_sections").plural
    assert plural("One.\n\nExample:\n    >>> 1\n") == "One.\n\nExamples:\n    >>> 1\n"
    assert plural("    Example:\nExample: inline") == "    Examples:\nExample: inline"
