"""Every notebook runs from top to bottom, shows what it says it shows, and is the same as the script beside it.

One kernel runs them all, one after the other, because starting it and importing torch is most of the time; between two
notebooks it forgets their names, so that none leans on another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
manager = pytest.importorskip("jupyter_client.manager")

HOME = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(HOME.glob("*.py"))

# What saves time: a part of the sample, few draws, a training that has begun and no more.
TINY: dict[str, dict[str, Any]] = {
    "inter_rater_variability": {"most_cases": 30, "samples": 50},
    "from_raters_to_a_distribution": {"steps": 4, "channels": [4, 8], "draws": 4, "most_images": 6},
    "reading_an_uncertainty_map": {},
    "calibration_and_volume_intervals": {"most_cases": 12, "samples": 50},
    "a_new_family_in_sixty_lines": {"steps": 4, "channels": [4, 8], "heads": 4, "most_images": 6},
}
# Words that each prints of its own figures, and how many pictures it shows of the bundled sample.
SHOWN = {
    "inter_rater_variability": (4, "Dice of two raters", "surface distance, mean", "extent: how far"),
    "from_raters_to_a_distribution": (4, "one mask  GED", "distance between two raters"),
    "reading_an_uncertainty_map": (4, "of the pixels that anyone drew are disputed", "of all doubt in this window"),
    "calibration_and_volume_intervals": (3, "temperature chosen", "stated 80 %: held", "draws holds"),
    "a_new_family_in_sixty_lines": (3, "ged_v", "rater_diversity"),
}

pytestmark = pytest.mark.journey


def named(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One running kernel with one thread, which draws into the notebook whatever the tests themselves draw to."""
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"} | {"OMP_NUM_THREADS": "1"}
    workplace = str(tmp_path_factory.mktemp("kernel"))
    with manager.run_kernel(env=environment, cwd=workplace, extra_arguments=["--log-level=ERROR"]) as client:
        yield client


def executed(kernel: Any, name: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """What a notebook shows and prints in the kernel, which knows nothing of those before; warnings are errors."""
    cells = [c for c in jupytext.read(HOME / f"{name}.py").cells if c.cell_type == "code"]
    sources = ["%reset -f\nimport warnings\nwarnings.resetwarnings()\nwarnings.simplefilter('error')"]
    for cell in cells:
        sources.append(cell.source)
        if "parameters" in cell.metadata.get("tags", ()):
            sources += [f"{key} = {value!r}" for key, value in told.items()]
    messages: list[dict[str, Any]] = []
    for source in sources:
        reply = kernel.execute_interactive(source, allow_stdin=False, timeout=300, output_hook=messages.append)
        content = reply["content"]
        assert content["status"] == "ok", "\n".join([content.get("evalue", ""), source, *content.get("traceback", [])])
    return messages


def test_these_are_the_notebooks():
    assert {p.stem for p in SCRIPTS} == set(TINY) == set(SHOWN)


@pytest.mark.parametrize("name", TINY)
def test_it_runs_and_shows_pictures(kernel, name):
    messages = executed(kernel, name, TINY[name])
    shown = [m["content"] for m in messages if m["msg_type"] == "display_data"]
    pictures = [c for c in shown if "image/png" in c["data"]]
    streams = [m["content"] for m in messages if m["msg_type"] == "stream"]
    printed = "".join(c["text"] for c in streams if c["name"] == "stdout")
    wanted, *words = SHOWN[name]
    assert len(pictures) == wanted
    assert [word for word in words if word not in printed] == []
    assert not re.search(r"\bnan\b", printed)
    assert [c["text"] for c in streams if c["name"] == "stderr"] == []
    assert [m for m in messages if m["msg_type"] == "execute_result"] == [], "nothing is shown by accident"


@pytest.mark.parametrize("name", TINY)
def test_a_structure_that_is_not_there_is_one_line_before_anything_is_trained(kernel, name):
    with pytest.raises(AssertionError, match=r"^E_UNKNOWN_LABEL: no class or group is called 'heart'"):
        executed(kernel, name, TINY[name] | {"steps": 10**6, "structure": "heart"})


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_sentence_stands_below_every_picture_and_it_ends_with_what_next(path):
    cells = jupytext.read(path).cells
    assert cells[0].source.startswith("# ") and "## What next" in cells[-1].source
    for cell, following in pairwise(cells):
        if "plt.show()" in cell.source:
            assert following.cell_type == "markdown"
            assert not following.source.startswith("#"), "the sentence comes before the next heading"


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_it_is_the_script_beside_it_without_outputs(path):
    notebook, script = nbformat.read(path.with_suffix(".ipynb"), as_version=4), jupytext.read(path)
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in script.cells]
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    assert ["parameters"] in [c.metadata.get("tags") for c in code]


def test_the_family_is_that_of_the_tutorial(repository):
    page = (repository / "docs" / "tutorials" / "add_a_family.md").read_text(encoding="utf-8")
    (family,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    cells = jupytext.read(HOME / "a_new_family_in_sixty_lines.py").cells
    assert family.strip() in [c.source.strip() for c in cells if c.cell_type == "code"]
