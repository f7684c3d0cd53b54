"""Links of the documentation lead somewhere, on the site and in the repository alike, and every page is in the menu."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", flags=re.DOTALL | re.MULTILINE)


def anchor(heading: str) -> str:
    """What a heading is called in a link, as Markdown's table of contents does it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def leaves(menu: Any) -> Iterator[str]:
    """The pages of a menu."""
    if isinstance(menu, str):
        yield menu
    for entry in menu.values() if isinstance(menu, dict) else menu if isinstance(menu, list) else ():
        yield from leaves(entry)


@pytest.fixture(scope="module")
def menu(repository: Path) -> list[str]:
    return list(leaves(yaml.safe_load((repository / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))


def test_links_lead_to_files_and_headings(repository: Path, pages: dict[str, str]) -> None:
    wrong = []
    for name, text in pages.items():
        for link in LINK.findall(CODE.sub("", text)):
            target, _, heading = link.partition("#")
            file = (repository / "docs" / name).parent / target if target else repository / "docs" / name
            known = (
                map(anchor, HEADING.findall(file.read_text(encoding="utf-8")))
                if file.suffix == ".md" and file.is_file()
                else ()
            )
            if not file.is_file() or (heading and heading not in set(known)):
                wrong.append(f"{name}: {link}")
    assert wrong == []


def test_every_page_is_in_the_menu_once(repository: Path, pages: dict[str, str], menu: list[str]) -> None:
    assert len(set(menu)) == len(menu)
    assert set(pages) - set(menu) == set(), "give each page a line under nav in mkdocs.yml"
    here = [page for page in menu if not page.startswith("repository/")]
    assert set(here) - set(pages) == set()
    away = [page.removeprefix("repository/") for page in menu if page.startswith("repository/")]
    assert [page for page in away if not (repository / page).is_file()] == []


def test_pages_have_one_title(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        assert len(re.findall(r"^# ", CODE.sub("", text), flags=re.MULTILINE)) == 1, name


def test_links_out_of_docs_turn_to_copies(building: Callable[[str], ModuleType]) -> None:
    links = building("repository_links")

    def turned(uri: str, text: str) -> str:
        return links.on_page_markdown(text, page=SimpleNamespace(file=SimpleNamespace(src_uri=uri)))

    out = turned("how-to/a.md", "[x](../../experiments/shift/README.md#why) and [y](b.md), [z](https://a.b/c)")
    assert out == "[x](../repository/experiments/shift/README.md#why) and [y](b.md), [z](https://a.b/c)"
    back = turned("repository/experiments/shift/README.md", "[h](../../docs/how-to/cluster.md) [l](../lidc/README.md)")
    assert back == "[h](../../../how-to/cluster.md) [l](../lidc/README.md)"
    assert turned("a.md", "[x](../no/such/file.md)") == "[x](../no/such/file.md)", "left to the build, which complains"
    folder = turned("repository/experiments/shift/README.md", "from [records](records) of [a](../lidc/README.md)")
    assert folder == "from records of [a](../lidc/README.md)", "a folder has no page"
    assert links.place("repository/README.md") == "README.md" and links.place("index.md") == "docs/index.md"


def test_what_a_copy_links_to_comes_along(building: Callable[[str], ModuleType], repository: Path) -> None:
    files = pytest.importorskip("mkdocs.structure.files")
    config = pytest.importorskip("mkdocs.config").load_config(str(repository / "mkdocs.yml"), plugins=[], hooks=[])
    config.plugins._current_plugin = "test"
    text = "[x](../experiments/shift/README.md) [l](../LICENSE) [c](../probseg/case.py)"
    page = files.File.generated(config, "a.md", content=text)
    built = building("repository_links").on_files(files.Files([page]), config=config)
    found = {file.src_uri for file in built if not file.inclusion.is_excluded()}
    assert {"a.md", "repository/LICENSE", "repository/probseg/case.py"} <= found
    assert {f"repository/experiments/{name}/README.md" for name in ("shift", "lidc")} <= found
    assert "repository/experiments/lidc/results.md" in found


def test_nothing_is_loaded_from_elsewhere(repository: Path, pages: dict[str, str]) -> None:
    settings = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings and "http" not in settings
    assert [name for name, text in pages.items() if re.search(r"!\[[^\]]*\]\(http|<(script|img|link)\b", text)] == []
    shim = (repository / "docs" / "assets" / "iframe-worker" / "shim.js").read_text(encoding="utf-8")
    assert "http" not in shim and (repository / "docs" / "assets" / "iframe-worker" / "LICENSE").is_file()
