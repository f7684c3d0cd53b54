"""`probseg report --notebook`: a page that needs no network, of the user's data; and one line for what is wrong."""

from __future__ import annotations

import html
import re

import pytest

pytest.importorskip("papermill")

from probseg.cli import main
from probseg.data.synthetic import generate, write
from probseg.errors import ProbsegError
from probseg.report import notebook as module
from probseg.report.notebook import declared_parameters, notebook_names, read_notebook, told_parameters

CANARY = "canary-4711"
HEAD = '# %% [markdown]\n# # Small\n\n# %% tags=["parameters"]\ndataset = "lidc-sample"\nrun = None\nsize = 1\n\n# %%\n'

pytestmark = [
    pytest.mark.journey,
    # What Jupyter's own machinery warns of in this process.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """``small(code)``: there is one notebook, called small, with this code."""
    home = tmp_path / "notebooks"
    home.mkdir()
    monkeypatch.setattr(module, "_home", lambda: home)
    return lambda code: (home / "small.py").write_text(HEAD + code, encoding="utf-8")


def one_line(capsys) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def fetched(page: str) -> list[str]:
    """What a browser would ask for: every source, sheet, import and address in a style that is not in the page."""
    found = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)\s*=\s*[\"']([^\"']*)", page)
    found += re.findall(r"@import\s+[\"']?([^;\"']+)", page) + re.findall(r"url\(\s*[\"']?([^)\"']+)", page)
    return [address for address in found if not address.startswith(("data:", "#"))]


def test_a_page_of_the_users_dataset_is_whole(tmp_path, capsys, monkeypatch):
    folder = tmp_path / CANARY
    data = write(generate(2, seed=4, shape=(5, 40, 48)), folder / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)
    table = (data / "cases.csv").read_text().replace("patient-", f"{CANARY}-")
    (data / "cases.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    words = ["report", str(data), "--notebook", "inter_rater_variability", "--set", "samples=20"]
    assert main(words) == 0
    assert "inter_rater_variability.html" in capsys.readouterr().out
    page = (tmp_path / "inter_rater_variability.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<img\b[^>]*>", page)
    assert len(pictures) == 5  # raters are persons here, so single raters have a picture
    assert all("data:image/png;base64," in tag and re.search(r"alt=\"[^\"]{20,}", tag) for tag in pictures)
    assert "synthetic-ct: 2 cases of 2 patients" in page
    assert fetched(page) == []
    assert CANARY not in page
    assert "dataset = 'ct'" in html.unescape(re.sub("<[^>]*>", "", page))


def test_the_notebook_itself_may_be_kept(small, tmp_path):
    import nbformat

    small(
        "import matplotlib.pyplot as plt\n# %matplotlib inline\nplt.plot([size, 2])\nplt.show()\nprint('size', size)\n"
        "from probseg.errors import warn\nwarn('W_SINGLE_RATER', 'one rater')\n"
    )
    out = tmp_path / "kept.ipynb"
    assert main(["report", "--notebook", "small", "--set", "size=7", "--out", str(out)]) == 0
    kept = nbformat.read(out, as_version=4)
    said = {o.name: o.text for c in kept.cells for o in c.get("outputs", ()) if o.output_type == "stream"}
    assert said == {"stdout": "size 7\n", "stderr": "warning: W_SINGLE_RATER: one rater\n"}, "and no path"
    assert str(tmp_path) not in out.read_text()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "from probseg.errors import ProbsegError\nraise ProbsegError('E_NO_CASES', 'there is no case')",
            "error: E_NO_CASES: there is no case\n",
        ),
        ("1 / 0", "error: E_NOTEBOOK: the notebook small failed: ZeroDivisionError: division by zero\n"),
    ],
)
def test_an_error_within_is_one_line_and_nothing_is_written(small, tmp_path, capsys, code, said):
    small(code)
    assert main(["report", "--notebook", "small", "--out", str(tmp_path / "x.html")]) == 2
    assert one_line(capsys) == said
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--notebook", "nothing"], "E_ARGUMENT: there is no notebook 'nothing'; the notebooks are small"),
        (["--notebook", "small", "--out", "x.pdf"], "E_WRONG_EXTENSION"),
        (["--notebook", "small", "--set", "sizes=3"], "has no parameter 'sizes'; it has dataset, run, size"),
        (["--notebook", "small", "--set", "size"], "E_USAGE: --set takes NAME=VALUE"),
        (["--notebook", "small", "--worst", "3"], "--worst is not for a notebook"),
        (["--notebook", "small", "--no-viewer"], "--no-viewer is not for a notebook"),
        (["a", "b", "--notebook", "small"], "takes one dataset, but two are given"),
        (["a", "--notebook", "small", "--set", "dataset=b"], "--set dataset says again what DIR says"),
        (["--set", "size=3"], "--set is for parameters of a notebook"),
        ([], "give at least one DIR"),
    ],
)
def test_nothing_that_was_typed_is_ignored(small, capsys, words, said):
    small("print(size)")
    assert main(["report", *words]) == 2
    assert said in one_line(capsys)


def test_what_lies_in_a_folder_says_which_parameter_it_is(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name, file in (("predicted", "manifest.json"), ("agreed", "agreement.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    declared = {"dataset": None, "run": None, "predictions": None}
    folders = [tmp_path / "run", tmp_path / "predicted", "lidc-sample"]
    told = told_parameters("any", declared, folders, {})
    assert told == {"run": str(folders[0]), "predictions": str(folders[1]), "dataset": "lidc-sample"}
    assert told_parameters("any", declared, ["zoo:some"], {}) == {"run": "zoo:some"}
    with pytest.raises(ProbsegError, match="is what probseg agreement wrote, but the notebook any takes a dataset and"):
        told_parameters("any", declared, [tmp_path / "agreed"], {})
    with pytest.raises(ProbsegError, match="is a run, but the notebook any takes a dataset"):
        told_parameters("any", {"dataset": None}, [tmp_path / "run"], {})


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "papermill" else name)
    assert main(["report", "--notebook", notebook_names()[0]]) == 2
    assert (
        "E_MISSING_EXTRA: notebooks need papermill, which is not installed; pip install 'probseg[report]'"
        in one_line(capsys)
    )


def test_the_list_names_them(capsys):
    assert main(["report", "--notebook", "list"]) == 0
    assert tuple(capsys.readouterr().out.split()) == notebook_names()


@pytest.mark.parametrize("name", notebook_names())
def test_each_takes_a_dataset_and_a_structure(name):
    declared = declared_parameters(read_notebook(name))
    assert declared["dataset"] == "lidc-sample" and declared["structure"] is None
