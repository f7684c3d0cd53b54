"""Notebooks that come with the package, run on somebody's data.

They are scripts in ``notebooks/``, in the percent format of jupytext. What one may be told stands in its cell with the
tag ``parameters``; papermill puts a cell with other values behind it.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.report.notebook_page import page_of
from probseg.report.stored_agreement import is_agreement
from probseg.report.stored_evaluation import is_evaluation
from probseg.zoo import PREFIX

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["declared_parameters", "notebook_names", "read_notebook", "told_parameters", "write_notebook"]

_FORMATS = (".html", ".ipynb")
_NEEDED = ("jupytext", "papermill", "nbconvert", "ipykernel")
_FOLDERS = ("dataset", "run", "predictions")
_WARNING = re.compile(r"^[^\n]*:\d+: \w*Warning: ([^\n]*)\n(?:  [^\n]*(?:\n|\Z))?", re.MULTILINE)
_WORDS = {
    "dataset": "a dataset",
    "run": "a run",
    "predictions": "predictions",
    "agreement": "what probseg agreement wrote",
    "evaluation": "what probseg evaluate wrote",
}


def notebook_names() -> tuple[str, ...]:
    """Names of the notebooks, sorted."""
    return tuple(sorted(path.stem for path in _home().glob("*.py")))


def read_notebook(name: str) -> NotebookNode:
    """One of them, not yet run.

    Raises:
        ProbsegError: E_ARGUMENT where there is none of this name, E_MISSING_EXTRA without what runs notebooks.
    """
    if name not in notebook_names():
        names = ", ".join(notebook_names()) or "none in this installation"
        raise ProbsegError("E_ARGUMENT", f"there is no notebook '{name[:60]}'; the notebooks are {names}")
    missing = next((package for package in _NEEDED if find_spec(package) is None), None)
    if missing:
        raise ProbsegError(
            "E_MISSING_EXTRA", f"notebooks need {missing}, which is not installed; pip install 'probseg[report]'"
        )
    import jupytext

    return jupytext.read(_home() / f"{name}.py")


def declared_parameters(notebook: NotebookNode) -> dict[str, Any]:
    """What a notebook may be told, each with the value that it has untold."""
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    found = {}
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def told_parameters(
    name: str, declared: Mapping[str, Any], folders: Sequence[str | Path], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Folders and settings of a command line as parameters, each of which the notebook must declare.

    Args:
        name: of the notebook.
        declared: its parameters.
        folders: a dataset, a run and predictions, told apart by what lies in each.
        settings: other parameters by name.

    Raises:
        ProbsegError: E_USAGE for what the notebook does not take, or what is given twice.
    """
    told: dict[str, Any] = {}
    for folder in folders:
        kind = _kind_of(folder)
        if kind not in declared:
            takes = " and ".join(_WORDS[k] for k in _FOLDERS if k in declared)
            raise ProbsegError(
                "E_USAGE", f"'{folder}' is {_WORDS[kind]}, but the notebook {name} takes {takes}; leave it out"
            )
        if kind in told:
            raise ProbsegError("E_USAGE", f"the notebook {name} takes one {kind}, but two are given; leave one out")
        told[kind] = str(folder)
    for setting, value in settings.items():
        if setting not in declared:
            known = ", ".join(declared)
            raise ProbsegError("E_USAGE", f"the notebook {name} has no parameter '{setting}'; it has {known}")
        if setting in told:
            raise ProbsegError("E_USAGE", f"--set {setting} says again what DIR says; give one of the two")
        told[setting] = value
    return told


def write_notebook(name: str, folders: Sequence[str | Path], settings: Mapping[str, Any], out: Path) -> Path:
    """Run a notebook and write what came of it: a page (``.html``), or the notebook with its outputs (``.ipynb``).

    Names of folders are in it, and not where they lie. Nothing is written where a cell fails.

    Raises:
        ProbsegError: E_WRONG_EXTENSION, the codes of `read_notebook` and `told_parameters`, what probseg raised within
            the notebook, and E_NOTEBOOK for any other error there.
    """
    if out.suffix.lower() not in _FORMATS:
        raise ProbsegError("E_WRONG_EXTENSION", f"--out of a notebook ends in .html or .ipynb, but '{out}' does not")
    notebook = read_notebook(name)
    told = told_parameters(name, declared_parameters(notebook), folders, settings)
    executed = _executed(name, notebook, told)
    shown = {k: _name_of(v) if k in _FOLDERS else v for k, v in told.items()}
    for cell in executed.cells:
        _without_paths(cell)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = "\n".join(f"{k} = {v!r}" for k, v in shown.items())
    if out.suffix.lower() == ".html":
        write_text(out, page_of(executed))
    else:
        import nbformat

        executed.metadata.pop("papermill", None)  # when and where it ran
        write_text(out, nbformat.writes(executed) + "\n")
    return out


def _executed(name: str, notebook: NotebookNode, told: Mapping[str, Any]) -> NotebookNode:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        with _pictures_inline():
            return papermill.execute_notebook(
                notebook,
                None,
                dict(told),
                kernel_name="python3",
                language="python",
                progress_bar=sys.stderr.isatty(),
                extra_arguments=["--log-level=CRITICAL"],  # what a kernel says of its own connection
            )
    except PapermillExecutionError as error:
        code, _, message = error.evalue.partition(": ")
        if error.ename == "ProbsegError":
            raise ProbsegError(code, message) from error
        raise ProbsegError("E_NOTEBOOK", f"the notebook {name} failed: {error.ename}: {error.evalue[:300]}") from error
    except DeadKernelError as error:
        raise ProbsegError(
            "E_NOTEBOOK", f"the process of the notebook {name} ended; is there memory enough?"
        ) from error


def _without_paths(cell: NotebookNode) -> None:
    """Leave of a warning what it says: where the package lies, and the line that warned, tell a reader nothing."""
    for output in cell.get("outputs", ()):
        if output.output_type == "stream" and output.name == "stderr":
            output.text = _WARNING.sub(r"warning: \1\n", output.text)


@contextmanager
def _pictures_inline() -> Iterator[None]:
    """The kernel draws into the notebook, whatever this process draws to."""
    before = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["MPLBACKEND"] = before


def _home() -> Path:
    """Where the notebooks lie: in the package that was installed, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "notebooks"
    return inside if inside.is_dir() else package.parent / "notebooks"


def _kind_of(folder: str | Path) -> str:
    """What lies in a folder; whatever is nothing else is taken for a dataset, which says what it lacks."""
    path = Path(folder)
    if str(folder).startswith(PREFIX) or (path / "checkpoints").is_dir() or (path / "model.json").is_file():
        return "run"
    if is_agreement(path):
        return "agreement"
    if is_evaluation(path):
        return "evaluation"
    return "predictions" if (path / "manifest.json").is_file() else "dataset"


def _name_of(folder: Any) -> Any:
    return folder if not isinstance(folder, str) or folder.startswith(PREFIX) else Path(folder).resolve().name
