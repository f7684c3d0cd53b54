"""A notebook that was run, as one HTML file that opens without a network: pictures inside, code folded away.

A cell with the tag ``shown`` has its code unfolded.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["page_of"]

_MOST = 300  # letters of a description

# The lab template fetches scripts from elsewhere, and shows the code before the picture.
_TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
body.jp-Notebook { max-width: 64rem; margin: 0 auto; padding: 1rem; box-sizing: border-box; overflow: auto; }
.jp-RenderedImage img { max-width: 100%; height: auto; }
.jp-OutputArea-output pre { white-space: pre-wrap; }
details.code > summary { cursor: pointer; color: #66707b; font: 0.75rem sans-serif; padding: 0.2rem 0; }
@media print { details.code { display: none; } }
</style>
{%- endblock -%}
{%- block input -%}
<details class="code"{{ ' open' if 'shown' in cell.metadata.get('tags', ()) }}>
<summary>code</summary>{{ super() }}</details>
{%- endblock -%}
"""


def page_of(notebook: NotebookNode) -> str:
    """The whole page; nothing in it is fetched.

    What a picture shows, for those who cannot see it, is the sentence below it: each notebook has one there.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    _describe(notebook)
    heading = re.search(r"^# (.+)$", notebook.cells[0].source, flags=re.MULTILINE)
    notebook.metadata["title"] = heading.group(1) if heading else "notebook"
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": _TEMPLATE})],
        template_file="page.html.j2",
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    exporter.log.setLevel(logging.ERROR)
    body, _ = exporter.from_notebook_node(notebook)
    return str(body)


def _describe(notebook: NotebookNode) -> None:
    """Give every picture the first sentence of the text that follows it."""
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        text = following.source if following is not None and following.cell_type == "markdown" else ""
        words = " ".join(re.sub(r"[*`#]", "", text.split("\n\n")[0]).split())
        sentence = re.split(r"(?<=[.:]) ", words)[0][:_MOST]
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.metadata.setdefault("image/png", {})["alt"] = sentence or "a picture of this cell"
