"""The page of commands: a line ``<!-- help: predict -->`` becomes what ``probseg predict --help`` prints."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
from typing import Any
from unittest import mock

MARKER = re.compile(r"^<!-- help:(.*) -->$", flags=re.MULTILINE)
_WIDTH = "90"


def help_text(words: list[str]) -> str:
    """What ``probseg WORDS --help`` prints, of the same width whatever the terminal."""
    from probseg.cli import main

    printed = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": _WIDTH}), contextlib.redirect_stdout(printed):
        try:
            status: int | str | None = main([*words, "--help"])
        except SystemExit as stopped:  # argparse ends the process after its help
            status = stopped.code
    if status:
        raise RuntimeError(f"'probseg {' '.join(words)} --help' ended with status {status}")
    return printed.getvalue().rstrip()


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for each page before it is rendered."""
    return MARKER.sub(lambda found: _block(found[1].split()), markdown)


def _block(words: list[str]) -> str:
    # HTML and not a fenced block, so that no help text can end it.
    return f'<div class="highlight help"><pre><code>{html.escape(help_text(words))}</code></pre></div>'
