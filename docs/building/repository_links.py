"""Links that leave ``docs/`` for another file of the repository lead to a copy of it in the site.

So the same link works on a page of the site and in the repository. What such a Markdown file links to comes along.
A folder has no page to lead to: on the site its link is the plain text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
FOLDER = "repository"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|<)([^)#\s]+)")
WHOLE = re.compile(r"(?<!!)\[([^\[\]]+)\]\((?!\w+:|#|<)([^)#\s]+)\)")


def place(uri: str) -> str:
    """Where a page or copy stands in the repository, as a path from its root."""
    return uri.removeprefix(f"{FOLDER}/") if uri.startswith(f"{FOLDER}/") else f"docs/{uri}"


def _uri(path: str) -> str:
    """The inverse of `place`: where a file of the repository stands in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{FOLDER}/{path}"


def _targets(markdown: str, uri: str) -> Iterator[str]:
    """The files of the repository outside of ``docs/`` that a page links to."""
    for link in LINK.findall(markdown):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place(uri)), link))
        if not path.startswith(("docs/", "..")) and (ROOT / path).is_file():
            yield path


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """MkDocs calls this with the files of ``docs/``; adds those that they link to, and those that these link to."""
    waiting = [file for file in files if file.src_uri.endswith(".md")]
    while waiting:
        file = waiting.pop()
        for path in _targets(file.content_string, file.src_uri):
            if files.get_file_from_path(_uri(path)) is None:
                added = File.generated(config, _uri(path), abs_src_path=str(ROOT / path))
                files.append(added)
                waiting += [added] if path.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls this for each page before it is rendered; turns the links to where the copies are."""
    here = posixpath.dirname(place(page.file.src_uri))

    def turned(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, found[1]))
        if path.startswith("..") or not (ROOT / path).is_file():
            return found[1]
        return posixpath.relpath(_uri(path), posixpath.dirname(page.file.src_uri) or ".")

    def plain(found: re.Match[str]) -> str:
        return found[1] if (ROOT / posixpath.join(here, found[2])).is_dir() else found[0]

    return LINK.sub(turned, WHOLE.sub(plain, markdown))
