"""The same command again, another one, or somebody else's files: what is kept, done again, replaced or refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probseg.case import Geometry
from probseg.cli import main
from probseg.inference.presence import Presence
from probseg.io import nifti

pytestmark = pytest.mark.journey


def test_a_run_that_is_complete_is_left_as_it_is(
    words: list[str], seen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    seen.clear()
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("nothing was left to predict: ")
    assert (
        seen == []
        and {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}.items()
        >= {p: t for p, t in before.items() if p.is_file()}.items()
    )


def test_what_was_damaged_is_predicted_again_and_what_is_of_others_stays(
    tree: Callable[..., Any],
    names: Callable[..., Any],
    words: list[str],
    few: list[Path],
    seen: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
) -> None:
    assert main(words) == 0
    out, (a, b, c, d) = tmp_path / "out", names(few)[:4]
    (out / a / "mode.nii.gz").write_bytes((out / a / "mode.nii.gz").read_bytes()[:-3])
    (out / b / "summary.json").unlink()
    (out / c / "entropy.nii.gz").unlink()
    (out / d / "summary.json").write_bytes((out / d / "summary.json").read_bytes()[:200])
    (out / b / ".tmp71-0123456789ab.nii.gz").write_bytes(b"half")
    (out / b / "notes.txt").write_text("mine")
    (out / "notes.txt").write_text("mine")
    (out / "manifest.json").unlink()
    seen.clear()
    assert main(words) == 0
    assert seen == [a, b, c, d]
    mine = hashlib.sha256(b"mine").hexdigest()
    assert tree(out) == {**quiet, "notes.txt": mine, f"{b}/notes.txt": mine}


def test_more_scans_are_added_to_those_that_are_there(
    names: Callable[..., Any],
    manifest: Callable[..., Any],
    run: Path,
    scans: list[Path],
    seen: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def predict(some: list[Path]) -> int:
        seen.clear()
        return main(["predict", str(run), *map(str, some), "--out", str(tmp_path / "out")])

    assert predict(scans[:2]) == 0 and predict(scans[:3]) == 0
    assert seen == names(scans[2:3]) and len(manifest(tmp_path / "out")["scans"]) == 3
    capsys.readouterr()
    assert predict(scans[:1]) == 2  # the table and the manifest would forget the others
    assert "E_OUTPUT_EXISTS" in capsys.readouterr().err and len(manifest(tmp_path / "out")["scans"]) == 3


@pytest.mark.parametrize("more", [["--seed", "3"], ["--draws", "3"], ["--readings", "2"]])
def test_other_settings_are_refused_with_what_differs_or_replace_on_request(
    tree: Callable[..., Any],
    run: Path,
    scans: list[Path],
    seen: list[str],
    tmp_path: Path,
    more: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["predict", str(run), *map(str, scans[:2]), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = tree(tmp_path / "out")
    seen.clear()
    capsys.readouterr()
    assert main([*words, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_OUTPUT_EXISTS: ") and f"'settings.{more[0][2:]}' is" in line
    assert "--overwrite" in line and seen == [] and tree(tmp_path / "out") == before
    assert main([*words, *more, "--overwrite"]) == 0 and len(seen) == 2
    assert main([*words, *more, "--overwrite"]) == 0 and len(seen) == 4, "asked again, done again"


def test_another_image_under_the_same_name_is_refused(
    tree: Callable[..., Any],
    manifest: Callable[..., Any],
    run: Path,
    scans: list[Path],
    without_pictures: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan = tmp_path / "s.nii.gz"
    words = ["predict", str(run), str(scan), str(scans[0]), "--out", str(tmp_path / "out")]
    shutil.copy(scans[1], scan)
    assert main(words) == 0
    before = tree(tmp_path / "out" / "s")
    for change in (Geometry((3, 16, 16), (2.5, 1.0, 1.0)), None):  # the same voxels elsewhere; other voxels
        if change is None:
            shutil.copy(scans[2], scan)
        else:
            nifti.write(scan, nifti.read(scans[1])[0], change)
        capsys.readouterr()
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: E_OUTPUT_EXISTS: ") and "another image" in line
        assert tree(tmp_path / "out" / "s") == before
        assert [f["code"] for f in manifest(tmp_path / "out")["failed"]] == ["E_OUTPUT_EXISTS"]
    assert main([*words, "--overwrite"]) == 0 and tree(tmp_path / "out" / "s") != before


@pytest.fixture
def stranger(tmp_path: Path) -> Callable[..., None]:
    """Another process that predicts into the folder at present."""
    presences = []

    def come(**about: Any) -> None:
        presences.append(Presence(tmp_path / "out" / ".predicting", about))
        presences[-1].enter()

    yield come  # type: ignore[misc]
    for presence in presences:
        presence.leave()


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_in_which_others_do_another_run_is_left_alone(
    words: list[str], tmp_path: Path, stranger: Callable[..., None], capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    stranger(work="another", overwrite=False)
    assert main([*words, *more]) == 2
    assert "E_OUTPUT_EXISTS: another process predicts " in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".predicting"]


@pytest.mark.parametrize(
    "place", ["s14/mode.nii.gz", "s14/summary.json", "volumes.csv", "manifest.json", ".predicting"]
)
def test_planted_links_are_not_followed(
    tree: Callable[..., Any], words: list[str], tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    victim, planted = tmp_path / "victim", tmp_path / "out" / place
    victim.write_text("dear")
    planted.parent.mkdir(parents=True)
    planted.symlink_to(victim)
    for more in ([], ["--overwrite"]):
        assert main([*words, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: E_OUTPUT_EXISTS: ") and planted.name in line
    assert victim.read_text() == "dear" and tree(tmp_path / "out").keys() == {
        str(planted.relative_to(tmp_path / "out"))
    }
