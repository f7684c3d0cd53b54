"""Many scans: killed anywhere, shared by processes, with bad scans among them, the result is that of one quiet run."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import numpy as np
import pytest
import torch
import yaml

from probseg.case import Geometry
from probseg.cli import main
from probseg.data.synthetic import INFO, generate, write
from probseg.errors import ProbsegError
from probseg.inference import predictor, scan_files
from probseg.inference.presence import Presence
from probseg.io import nifti
from probseg.labels import LabelClass, LabelSet
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

pytestmark = pytest.mark.journey

SCANS = 20
LABELS = LabelSet((LabelClass(0, "background"), LabelClass(1, "lesion")))
GRID = Geometry((3, 16, 16), (2.0, 1.0, 1.0))

# What every process below needs. ``log`` gets a line for each scan that a network has seen; pictures, which take longer
# than all the rest, are left out.
PRELUDE = """
import json, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from probseg.cli import main
from probseg.inference import predictor, scan_files

real = predictor.predict_scan

def watched(log, before=lambda: None):
    def logged(model, case, *rest):
        group = torch.distributed.get_backend() if torch.distributed.is_initialized() else ""
        with open(log, "a") as file:
            file.write(f"{case.case_id} {group}\\n")
        before()
        return real(model, case, *rest)
    predictor.predict_scan = logged
    scan_files.preview_png = lambda *_: b"picture"
"""

# All in processes that are forked after the imports, so that each costs a second at most.
DISTURBED = """
root, words = sys.argv[1], json.loads(sys.argv[2])
CHANGES = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}

def forked(name, log, before=lambda: None, left=None):
    child = os.fork()
    if child:
        return child
    watched(f"{root}/{log}", before)
    out = f"{root}/{name}"

    def count(event, arguments):
        nonlocal left
        if event in CHANGES and out in str(arguments[0]):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    if left is not None:
        sys.addaudithook(count)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os._exit(main([*words, "--out", out]))

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def kill_and_go_on(seed):
    # Killed before the so-many-th change of a file or folder below the output.
    name, draw = f"killed-{seed}", random.Random(seed)
    for limit in (40, 300, 700, 700):
        assert ended(forked(name, "lost", left=draw.randrange(limit))) == -signal.SIGKILL
    done = [p.parent.name for p in Path(root, name).glob("*/summary.json")]
    Path(root, f"done-{seed}").write_text(" ".join(done))
    assert ended(forked(name, f"log-{name}")) == 0

def compete(name, then=lambda: None):
    # A rival goes on with its first scan when the other is at its own first.
    meeting = Path(root, f"meeting-{name}")
    meeting.mkdir()

    def meet(who, then):
        def before():
            if not (meeting / who).exists():
                (meeting / who).touch()
                end = time.monotonic() + 120
                while len(os.listdir(meeting)) < 2 and time.monotonic() < end:
                    time.sleep(0.01)
                then()
        return before

    a = forked(name, f"log-{name}-a", meet("a", then))
    b = forked(name, f"log-{name}-b", meet("b", lambda: None))
    return ended(b), ended(a)  # a is not waited for before b has ended

assert ended(forked("quiet", "log-quiet")) == 0
for seed in (1, 2, 3):
    kill_and_go_on(seed)
assert compete("live") == (0, 0)
assert compete("die", lambda: os.kill(os.getpid(), signal.SIGKILL)) == (0, -signal.SIGKILL)
"""


def save_run(folder: Path, info: DatasetInfo) -> Path:
    """A run folder of a tiny model that was not trained; its draws differ."""
    torch.manual_seed(2)
    unet = {"num_classes": info.labels.num_classes, "channels": [4, 8], "dropout": 0.4, "foreground": 0.6}
    network = {"class_path": "probseg.networks.UNet", "init_args": unet}
    arguments = {"network": network, "draws": 2}
    model = build_model({"class_path": "probseg.models.MonteCarloDropout", "init_args": arguments})
    model.bind(info)
    (folder / "checkpoints").mkdir(parents=True)
    content = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "tiny", DatasetInfo("tiny", 3, LABELS, (0.0, 100.0)))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scans of noise, whose order by name is not that in which they are given."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("scans")
    paths = [folder / f"s{(7 * k) % SCANS:02}.nii.gz" for k in range(SCANS)]
    for path in paths:
        nifti.write(path, rng.integers(0, 100, GRID.shape).astype(np.int16), GRID)
    return paths


@pytest.fixture(scope="module")
def few(scans: list[Path]) -> list[Path]:
    return scans[:6]


@pytest.fixture
def words(run: Path, few: list[Path], tmp_path: Path) -> list[str]:
    return ["predict", str(run), *map(str, few), "--out", str(tmp_path / "out")]


@pytest.fixture(scope="module")
def quiet(run: Path, few: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one run over a few scans leaves that nothing disturbed."""
    out = tmp_path_factory.mktemp("quiet") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_files, "preview_png", lambda *_: b"picture")
        assert main(["predict", str(run), *map(str, few), "--out", str(out)]) == 0
    return tree(out)


@pytest.fixture(scope="module")
def disturbed(run: Path, scans: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs over twenty scans: a quiet one, and those that were killed or had a rival."""
    root = tmp_path_factory.mktemp("disturbed")
    words = json.dumps(["predict", str(run), *map(str, scans)])
    command = [sys.executable, "-W", "ignore", "-c", PRELUDE + DISTURBED, str(root), words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_files, "preview_png", lambda *_: b"picture")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, without_pictures: None) -> list[str]:
    """The scans that a network has seen in this process."""
    found: list[str] = []
    real = predictor.predict_scan

    def predict_scan(model: Any, case: Any, *rest: Any) -> Any:
        found.append(case.case_id)
        return real(model, case, *rest)

    monkeypatch.setattr(predictor, "predict_scan", predict_scan)
    return found


def tree(out: Path) -> dict[str, str]:
    """Relative path to hash of every file, hidden ones among them."""
    files = [p for p in sorted(out.rglob("*")) if not p.is_dir()]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def names(scans: list[Path]) -> list[str]:
    return [p.name.removesuffix(".nii.gz") for p in scans]


def seen_in(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


def manifest(out: Path) -> dict[str, Any]:
    return json.loads((out / "manifest.json").read_text())


def test_one_run_is_complete_and_in_the_order_of_the_inputs(
    words: list[str], few: list[Path], quiet: dict[str, str], tmp_path: Path, without_pictures: None
) -> None:
    assert main(words) == 0
    out = tmp_path / "out"
    assert tree(out) == quiet, "two runs are the same, byte by byte"
    assert [s["case_id"] for s in manifest(out)["scans"]] == names(few)
    with (out / "volumes.csv").open(newline="") as file:
        assert [r["case_id"] for r in csv.DictReader(file)] == names(few)
    assert {p.name for p in out.iterdir()} == {*names(few), "manifest.json", "volumes.csv"}
    stated = {f"{s['case_id']}/{n}": h for s in manifest(out)["scans"] for n, h in s["files"].items()}
    assert stated == {n: h for n, h in quiet.items() if "/" in n}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_anywhere_it_goes_on_with_what_is_missing(disturbed: Path, scans: list[Path], seed: int) -> None:
    """SIGKILL before a random change of a file or folder, four times, then a run to the end."""
    assert tree(disturbed / f"killed-{seed}") == tree(disturbed / "quiet")
    done = (disturbed / f"done-{seed}").read_text().split()
    again = seen_in(disturbed / f"log-killed-{seed}")
    assert sorted(done + again) == sorted(names(scans)), "the finished ones not again"


def test_two_rivals_do_each_scan_once(disturbed: Path, scans: list[Path]) -> None:
    assert tree(disturbed / "live") == tree(disturbed / "quiet")
    a, b = (seen_in(disturbed / f"log-live-{name}") for name in "ab")
    assert a and b and sorted(a + b) == sorted(names(scans))


def test_what_a_rival_was_at_when_it_was_killed_is_done_by_the_other(disturbed: Path, scans: list[Path]) -> None:
    assert tree(disturbed / "die") == tree(disturbed / "quiet")
    a, b = (seen_in(disturbed / f"log-die-{name}") for name in "ab")
    assert len(a) == 1 and a[0] in b and sorted(b) == sorted(names(scans))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A script like ``probseg`` that logs; Lightning starts it again for the second process."""
    path = tmp_path / "program.py"
    path.write_text(f"{PRELUDE}\nwatched({str(tmp_path / 'log')!r})\nsys.exit(main())\n")
    return path


def on_two_processes(program: Path, *words: object) -> list[str]:
    """The lines that a command prints; its log must say that gloo was there."""
    command = [sys.executable, str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = [line.split() for line in program.with_name("log").read_text().splitlines()]
    assert {line[1] for line in lines} == {"gloo"}
    return done.stdout.splitlines()


def test_two_processes_over_gloo_split_the_scans(
    run: Path, few: list[Path], quiet: dict[str, str], tmp_path: Path, program: Path
) -> None:
    """Five scans, which two do not divide."""
    out, five = tmp_path / "out", few[:5]
    lines = on_two_processes(program, "predict", run, *five, "--out", out, "--devices", "2")
    assert [line.split()[0] for line in lines] == ["wrote", "next:"], "one process tells"
    assert sorted(seen_in(tmp_path / "log")) == sorted(names(five)), "none twice, none missing"
    assert {n: h for n, h in tree(out).items() if "/" in n}.items() < quiet.items()
    assert [s["case_id"] for s in manifest(out)["scans"]] == names(five)
    assert {p.name for p in out.iterdir()} == {*names(five), "manifest.json", "volumes.csv"}


def test_the_lightning_form_on_two_processes_is_that_on_one(
    tmp_path: Path, program: Path, without_pictures: None
) -> None:
    cases = generate(3, seed=4, shape=(2, 32, 32))
    dataset = write(cases, tmp_path / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)
    two = save_run(tmp_path / "two", INFO)
    stored = torch.load(two / "checkpoints" / "best.ckpt", weights_only=True)["probseg"]["config"]
    config = {"model": stored, "data": {"root": str(dataset)}, "out": str(two)}
    (two / "config.yaml").write_text(yaml.safe_dump(config))
    devices = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
    on_two_processes(program, "predict", "-c", two / "config.yaml", *devices)
    assert len(seen_in(tmp_path / "log")) == len(set(seen_in(tmp_path / "log"))) == 3
    one = tmp_path / "one"
    assert main(["predict", str(two), str(dataset), "--split", "test", "--out", str(one)]) == 0
    assert tree(two / "predictions") == tree(one)


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
    words: list[str], few: list[Path], seen: list[str], quiet: dict[str, str], tmp_path: Path
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
    run: Path, scans: list[Path], seen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    run: Path, scans: list[Path], seen: list[str], tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
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
    run: Path, scans: list[Path], without_pictures: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = tmp_path / "s.nii.gz"
    words = ["predict", str(run), str(scan), str(scans[0]), "--out", str(tmp_path / "out")]
    shutil.copy(scans[1], scan)
    assert main(words) == 0
    before = tree(tmp_path / "out" / "s")
    for change in (Geometry(GRID.shape, (2.5, 1.0, 1.0)), None):  # the same voxels elsewhere; other voxels
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


def test_scans_that_fail_are_told_and_tried_again_the_next_time(
    run: Path,
    scans: list[Path],
    without_pictures: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that cannot be read, one whose reading nobody expected to fail, want of memory, and a bug."""
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"\x1f\x8bnothing")
    real, real_read = predictor.predict_scan, nifti.read
    a, b, c, d = names(scans)[:4]

    def predict_scan(model: Any, case: Any, *rest: Any) -> Any:
        if case.case_id == a:
            raise MemoryError
        if case.case_id == b:
            raise ZeroDivisionError("of patient Ottilie^Canary")
        return real(model, case, *rest)

    def read(path: Any, *rest: Any) -> Any:
        if c in str(path):
            raise UnicodeError("of patient Ottilie^Canary")
        return real_read(path, *rest)

    words = ["predict", str(run), str(bad), *map(str, scans[:4]), "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        patch.setattr(nifti, "read", read)
        assert main(words) == 2
    printed = capsys.readouterr()
    codes = [line.split(": ")[1] for line in printed.err.splitlines()]
    assert codes[1:] == ["E_OUT_OF_MEMORY", "E_UNEXPECTED", "E_UNEXPECTED"] and len(codes) == 4
    assert "ZeroDivisionError" in printed.err and "Canary" not in printed.err + printed.out
    assert "4 of 5 scans failed" in printed.out
    failed = manifest(tmp_path / "out")["failed"]
    assert [f["case_id"] for f in failed] == ["bad", a, b, c] and "Canary" not in json.dumps(failed)
    assert [f.get("exception") for f in failed] == [None, "MemoryError", "ZeroDivisionError", "UnicodeError"]
    assert [s["case_id"] for s in manifest(tmp_path / "out")["scans"]] == [d]
    shutil.copy(scans[5], bad)
    assert main(words) == 0 and manifest(tmp_path / "out")["failed"] == []


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    words: list[str],
    few: list[Path],
    seen: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, written = nifti.write, []

    def write(path: Any, *rest: Any) -> None:
        written.append(path)
        if len(written) == 20:
            raise ProbsegError("E_NOT_WRITABLE", f"'{path}' cannot be written: No space left on device")
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(nifti, "write", write)
        assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_NOT_WRITABLE: ") and len(seen) == 4
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert main(words) == 0
    assert tree(tmp_path / "out") == quiet and len(seen) == len(few) + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_stopped_it_ends_at_once_and_goes_on_later(
    words: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_pictures: None,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
) -> None:
    """Ctrl-C, and SIGTERM while a scan is predicted."""
    real, number = predictor.predict_scan, []

    def predict_scan(*rest: Any) -> Any:
        number.append(0)
        if len(number) == 3:
            signal.raise_signal(signal.SIGTERM if error is SystemExit else signal.SIGINT)
        return real(*rest)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        if error is SystemExit:
            with pytest.raises(SystemExit) as stopped:
                main(words)
            assert stopped.value.code == 128 + signal.SIGTERM
        else:
            assert main(words) == 130
    assert signal.getsignal(signal.SIGTERM) == before and len(capsys.readouterr().err.splitlines()) == 1
    assert len(list((tmp_path / "out").glob("*/summary.json"))) == 2
    assert main(words) == 0 and tree(tmp_path / "out") == quiet


def test_a_job_whose_time_is_up_is_queued_again(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_pictures: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGUSR1 to an element of an array of SLURM."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in {"JOB_ID": "12", "ARRAY_JOB_ID": "11", "ARRAY_TASK_ID": "3", "NTASKS": "4"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    real = predictor.predict_scan

    def predict_scan(*rest: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return real(*rest)

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        with pytest.raises(SystemExit) as stopped:
            main(words)
    assert stopped.value.code == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 11_3\n"
    assert main(words) == 0 and capsys.readouterr().err.count("\n") == 1


def test_a_run_that_replaces_goes_on_replacing_where_it_was_stopped(
    words: list[str],
    few: list[Path],
    seen: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main([*words, "--seed", "3"]) == 0
    real = scan_files.write_json

    def stop(*rest: Any) -> None:
        real(*rest)
        if len(seen) == len(few) + 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scan_files, "write_json", stop)
        assert main([*words, "--overwrite"]) == 130
    seen.clear()
    assert main([*words, "--overwrite"]) == 0
    assert len(seen) == len(few) - 2 and tree(tmp_path / "out") == quiet


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
    assert "E_OUTPUT_EXISTS: another process predicts into" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".predicting"]


@pytest.mark.parametrize(
    "place", ["s14/mode.nii.gz", "s14/summary.json", "volumes.csv", "manifest.json", ".predicting"]
)
def test_planted_links_are_not_followed(
    words: list[str], tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
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


def test_devices_that_are_not_there_or_not_possible_are_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*words, "--devices", "0"]) == 2
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*words, "--devices", "3"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("error: E_USAGE: ") for line in lines)
    assert not (tmp_path / "out").exists()
