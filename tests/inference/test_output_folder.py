"""Which folders a run may write into, and what it removes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from probseg.errors import ProbsegError
from probseg.inference.output_folder import check_output, clear_output, differences, finished
from probseg.io.digest import file_sha256

TERMS: dict[str, Any] = {
    "model": "probseg.models.X",
    "checkpoint_sha256": "aa",
    "settings": {"seed": 0, "window": [32, 128, 128], "calibration": None},
}


def result(folder: Path, **terms: Any) -> Path:
    """A finished scan."""
    folder.mkdir(parents=True)
    (folder / "mode.nii.gz").write_bytes(b"labels")
    summary = {**TERMS, **terms, "files": {"mode.nii.gz": file_sha256(folder / "mode.nii.gz")}, "shape": [1]}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def refusal(out: Path, overwrite: bool = False, ids: tuple[str, ...] = ("a", "b")) -> str:
    """Why it is refused; an empty text where it is not."""
    before = sorted(out.rglob("*"))
    try:
        check_output(out, ids, TERMS, overwrite)
    except ProbsegError as error:
        assert error.code == "E_OUTPUT_EXISTS" and sorted(out.rglob("*")) == before
        return error.message
    return ""


def test_differences_are_named_one_by_one():
    settings = {"seed": 1, "calibration": {"by": "x"}}
    other = {"model": "probseg.models.Y", "checkpoint_sha256": "bb", "settings": settings}
    assert differences(TERMS, TERMS) == []
    assert differences(other, TERMS) == [
        '\'model\' is "probseg.models.Y" there and "probseg.models.X" here',
        "'checkpoint_sha256' is another",
        "'settings.seed' is 1 there and 0 here",
        "'settings.window' is null there and [32, 128, 128] here",
        "'settings.calibration.by' is \"x\" there and null here",
    ]
    assert differences({**TERMS, "shape": [3]}, TERMS) == []  # what is of the scan and not of the run


def test_a_new_or_empty_folder_or_one_of_this_run_is_taken(tmp_path: Path):
    assert refusal(tmp_path / "new") == "" and refusal(tmp_path) == ""
    result(tmp_path / "a")
    assert refusal(tmp_path) == ""
    (tmp_path / "manifest.json").write_text(json.dumps({**TERMS, "scans": []}))
    (tmp_path / "notes.txt").write_text("of somebody")
    assert refusal(tmp_path) == ""


def test_what_a_run_that_was_killed_early_left_is_taken(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mode.nii.gz").write_bytes(b"hal")
    (tmp_path / "a" / ".tmp71-0123456789ab.nii.gz").write_bytes(b"h")
    assert refusal(tmp_path) == ""
    (tmp_path / "a" / "notes.txt").write_text("of somebody")
    assert "is not empty" in refusal(tmp_path) and refusal(tmp_path, overwrite=True) == ""


def test_results_that_were_made_otherwise_are_refused_with_what_differs(tmp_path: Path):
    result(tmp_path / "a", checkpoint_sha256="bb", settings={**TERMS["settings"], "seed": 3})
    told = refusal(tmp_path)
    assert "'checkpoint_sha256' is another, 'settings.seed' is 3 there and 0 here" in told and "--overwrite" in told
    assert refusal(tmp_path, overwrite=True) == ""


def test_a_manifest_that_was_made_otherwise_is_refused(tmp_path: Path):
    (tmp_path / "manifest.json").write_text(json.dumps({**TERMS, "model": "probseg.models.Y", "scans": []}))
    assert "'model' is" in refusal(tmp_path)


def test_results_of_scans_that_are_not_asked_are_refused(tmp_path: Path):
    result(tmp_path / "c")
    assert "scan 'c', which is not among the inputs" in refusal(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda out: (out / "notes.txt").write_text("x"),
        lambda out: (out / "manifest.json").write_text('{"of": "another program"}'),
        lambda out: (out / "volumes.csv").write_text("of an agreement study"),
        lambda out: ((out / "a").mkdir(), (out / "a" / "summary.json").write_text('{"of": "another program"}')),
        lambda out: ((out / "c").mkdir(), (out / "c" / "mode.nii.gz").write_text("of another scan")),
    ],
)
def test_folders_of_others_are_refused(tmp_path: Path, make: Any):
    make(tmp_path)
    assert refusal(tmp_path)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "place", ["a", "a/mode.nii.gz", "a/summary.json", "manifest.json", "volumes.csv", ".predicting"]
)
def test_links_at_the_places_of_results_are_refused_whatever_is_asked(tmp_path: Path, place: str, overwrite: bool):
    out = tmp_path / "out"
    result(out / "b")
    (out / place).parent.mkdir(exist_ok=True)
    (out / place).symlink_to(tmp_path / "victim")
    assert f"'{out / place}'" in refusal(out, overwrite)


def test_files_where_folders_go_and_folders_where_files_go_are_refused(tmp_path: Path):
    (tmp_path / "a").write_text("")
    assert refusal(tmp_path, overwrite=True)
    (tmp_path / "a").unlink()
    (tmp_path / "a" / "mode.nii.gz").mkdir(parents=True)
    assert refusal(tmp_path, overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path)
    assert "a file or a link" in refusal(tmp_path / "link", overwrite=True)


def test_a_result_counts_while_its_files_are_those_that_were_written(tmp_path: Path):
    folder = result(tmp_path / "a")
    assert finished(folder) is not None
    (folder / "mode.nii.gz").write_bytes(b"label")
    assert finished(folder) is None
    (folder / "mode.nii.gz").unlink()
    assert finished(folder) is None and finished(tmp_path / "nothing") is None
    summary = json.loads((folder / "summary.json").read_text())
    for files in ({}, {"../../etc/passwd": "aa"}, ["mode.nii.gz"], None):
        (folder / "summary.json").write_text(json.dumps({**summary, "files": files}))
        assert finished(folder) is None
    (folder / "summary.json").write_text(json.dumps(summary)[:-9])
    assert finished(folder) is None


def test_clearing_removes_what_is_ours_and_leaves_the_rest(tmp_path: Path):
    result(tmp_path / "a")
    result(tmp_path / "b")
    ours = ["manifest.json", "volumes.csv", ".tmp71-0123456789ab.json", "b/.tmp71-0123456789ab.nii.gz"]
    others = ["notes.txt", ".tmp-mine", "b/notes.txt"]
    for name in (*ours, *others):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").symlink_to(result(tmp_path.parent / f"{tmp_path.name}-victim"))
    clear_output(tmp_path)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert left == {*others, "b", "empty", "linked"} and (tmp_path / "linked" / "summary.json").exists()
