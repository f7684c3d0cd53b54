"""What a built site must keep: each link leads to a page and a place in it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.exceptions import PluginError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", flags=re.IGNORECASE)
_ELSEWHERE = re.compile(r"(https?:)?//", flags=re.IGNORECASE)
_NOT_LOADED = {"canonical", "prev", "next", "alternate"}  # relations of a page, which no browser fetches
_OF_SERVERS = "404.html"  # its links begin at the root of whatever serves it


@dataclass
class Page(HTMLParser):
    """What one page has: places to link to, links, and what a browser loads for it."""

    places: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def of(cls, file: Path) -> Page:
        """Read a file."""
        page = cls()
        page.feed(file.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each element."""
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        self.loads += [found["src"]] if "src" in found else []
        if tag == "link" and "href" in found and found.get("rel") not in _NOT_LOADED:
            self.loads.append(found["href"])


def faults(site: Path) -> Iterator[str]:
    """A line for each link that leads nowhere and each thing that is loaded from elsewhere."""
    pages = {file.resolve(): Page.of(file) for file in sorted(site.rglob("*.html")) if file.name != _OF_SERVERS}
    for file, page in pages.items():
        here = file.relative_to(site.resolve()).as_posix()
        yield from (f"{here} loads {what}" for what in page.loads if _ELSEWHERE.match(what))
        for link in page.links:
            if not (_SCHEME.match(link) or _leads(link, file, pages)):
                yield f"{here} links to {link}"


def _leads(link: str, file: Path, pages: dict[Path, Page]) -> bool:
    target, _, place = link.partition("#")
    path = (file.parent / unquote(target.partition("?")[0])).resolve() if target else file
    there = pages.get(path)
    return path.exists() and (not place or there is None or unquote(place) in there.places)


def on_post_build(config: Any, **_: Any) -> None:
    """MkDocs calls this when all is written; ends the build where something is at fault."""
    found = list(faults(Path(config["site_dir"])))
    if found:
        raise PluginError("\n".join([f"{len(found)} faults of the site:", *found[:20]]))
