"""Google's style knows ``Examples:``; docstrings here say ``Example:``, as most have one. Both are code in the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

SINGULAR = re.compile(r"^( *)Example:$", flags=re.MULTILINE)


def plural(docstring: str) -> str:
    """The docstring with the heading that is read as a section of code."""
    return SINGULAR.sub(r"\1Examples:", docstring)


class ExampleSections(griffe.Extension):
    """What mkdocstrings reads of each docstring goes through `plural`."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute that was found."""
        if obj.docstring is not None:
            obj.docstring.value = plural(obj.docstring.value)
