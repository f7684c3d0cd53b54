"""Every notebook runs from top to bottom, shows its pictures, and is the same as the script beside it."""

import os
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

pytestmark = [
    pytest.mark.journey,
    # What Jupyter's own machinery warns of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def named(path: Path) -> str:
    return path.stem


def test_there_are_notebooks():
    assert "inter_rater_variability" in {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_runs_and_shows_pictures(path, tmp_path, monkeypatch):
    # Threads of a kernel on a busy machine only wait for one another.
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    # The kernel draws into the notebook, whatever backend the tests themselves use.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONWARNINGS", "error::probseg.errors.ProbsegWarning")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    complaints = [o["text"] for o in outputs if o.output_type == "stream" and o["name"] == "stderr"]
    assert not complaints


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_is_the_script_beside_it_without_outputs(path):
    notebook, script = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in script.cells]
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    assert ["parameters"] in [c.metadata.get("tags") for c in code]
