import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from probseg.cli import main
from probseg.io.tables import write_csv

pytestmark = pytest.mark.journey

PAIRWISE = "case_id,site,rater_a,rater_b,class,dice,iou,surface_distance_mean_mm,surface_distance_95_mm"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def stack(path, raters=("A", "B"), copies=False, names=True, n=6):
    """A small NPZ stack: discs of 16 x 16 whose radius depends on the rater."""
    y, x = np.indices((16, 16)) - 7.5
    masks = np.stack(
        [[np.hypot(x, y) < 3 + case % 3 + (0 if copies else k) for k in range(len(raters))] for case in range(n)]
    )
    arrays = {"annotator": np.array(raters)} if names else {}
    np.savez(path, image=np.zeros((n, 16, 16), np.uint8), masks=masks.astype(np.uint8), **arrays)
    return path


def test_the_bundled_sample(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["agreement", "lidc-sample", "--split", "test", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    # The mask slots are no persons, so there is no table of single raters and the text says why.
    there = {p.name for p in out.iterdir()}
    assert {"agreement.json", "cases.csv", "classes.csv", "confusion.csv", "pairwise.csv", "volumes.csv"} <= there
    assert not {"raters.csv", "measured"} & there
    assert "no stable identity" in printed.out
    assert "CC BY 3.0" in printed.out
    last = printed.out.strip().splitlines()[-2:]
    assert last[0].startswith("wrote ")
    assert last[1].startswith("next: probseg ")
    report = json.loads((out / "agreement.json").read_text(encoding="utf-8"))
    nodule = report["structures"]["nodule"]
    assert 0.4 < nodule["dice"]["low"] < nodule["dice"]["value"] < nodule["dice"]["high"] < 0.8
    assert report["raters"] is None
    assert report["cases"] == nodule["dice"]["n"] == len(rows(out / "cases.csv"))
    assert report["patients"] < report["cases"]
    assert (out / "pairwise.csv").read_text(encoding="utf-8").startswith(PAIRWISE + ",")
    # The figure is the mean over cases of the mean over pairs of the table.
    by_case: dict[str, list[float]] = {}
    for row in rows(out / "pairwise.csv"):
        by_case.setdefault(row["case_id"], []).append(float(row["dice"]))
    assert np.mean([np.mean(v) for v in by_case.values()]) == pytest.approx(nodule["dice"]["value"], abs=1e-5)
    volumes = [float(r["volume_ml"]) for r in rows(out / "volumes.csv")]
    assert max(volumes) > 0.1


def test_named_raters_and_their_bias(tmp_path, capsys):
    data, out = stack(tmp_path / "toy.npz", ("small", "=large")), tmp_path / "out"
    assert main(["agreement", str(data), "--out", str(out)]) == 0
    assert "agreement is mutual" in capsys.readouterr().out
    found = {r["rater"]: r for r in rows(out / "raters.csv")}
    # A spreadsheet must not run a name.
    assert set(found) == {"small", "'=large"}
    ratios = [float(found[r]["volume_log_ratio"]) for r in ("small", "'=large")]
    assert ratios[0] == pytest.approx(-ratios[1], rel=1e-4)
    assert ratios[0] < 0


def test_who_agrees_most(tmp_path, capsys):
    data = stack(tmp_path / "toy.npz", ("small", "middle", "large", "huge"))
    assert main(["agreement", str(data), "--out", str(tmp_path / "out")]) == 0
    # Radii rise by one pixel a rater, so whoever is in the middle is nearest to the others.
    found = {r["rater"]: float(r["dice"]) for r in rows(tmp_path / "out" / "raters.csv")}
    assert max(found, key=found.__getitem__) in ("middle", "large")
    assert f"{max(found, key=found.__getitem__)} agrees most" in capsys.readouterr().out


def test_synthetic_volumes_travel_through_the_readers(tmp_path, capsys):
    from probseg.data.synthetic import generate
    from probseg.data.synthetic.write import write

    folder = write(generate(2, shape=(6, 48, 48)), tmp_path / "ct")
    assert main(["agreement", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "opacity" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "agreement.json").read_text(encoding="utf-8"))
    assert {"left_lung", "opacity", "lung"} <= set(report["structures"])
    assert report["structures"]["lung"]["surface_distance_mean_mm"]["n"] == 2
    assert {r["site"] for r in rows(tmp_path / "out" / "cases.csv")} == {"north", "south"}


def test_copied_raters_are_told_and_may_be_left_out(tmp_path, capsys):
    data, out = stack(tmp_path / "toy.npz", ("A", "B"), copies=True), tmp_path / "out"
    assert main(["agreement", str(data), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("warning: W_IDENTICAL_RATERS") == 1
    assert "--exclude B" in printed.out.splitlines()[-1]
    assert main(["agreement", str(data), "--exclude", "B", "--out", str(out), "--overwrite"]) == 0
    printed = capsys.readouterr()
    assert "W_SINGLE_RATER" in printed.err
    report = json.loads((out / "agreement.json").read_text(encoding="utf-8"))
    assert report["structures"]["foreground"]["dice"]["value"] is None
    assert report["rater_names"] == ["A"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere"], "E_FILE_MISSING"),
        (["DATA", "--exclude", "C"], "E_UNKNOWN_RATER"),
        (["DATA", "--split", "test"], "E_NO_CASES"),
        (["DATA", "--split", "tests"], "E_USAGE"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, capsys, arguments, code):
    data, out = stack(tmp_path / "toy.npz"), tmp_path / "out"
    arguments = [str(data) if a == "DATA" else a for a in arguments]
    assert main(["agreement", *arguments, "--out", str(out)]) != 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {code}: ")
    assert printed.err.count("\n") == 1
    assert not out.exists()


def test_earlier_results_are_kept_unless_told(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["agreement", str(stack(tmp_path / "a.npz")), "--out", str(out)]) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    unnamed = stack(tmp_path / "b.npz", names=False)
    assert main(["agreement", str(unnamed), "--out", str(out)]) != 0
    assert "E_OUTPUT_EXISTS" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    write_csv(out / "mine.csv", ("note",), [("kept",)])
    assert main(["agreement", str(unnamed), "--out", str(out), "--overwrite"]) == 0
    # raters.csv of the other dataset would be taken for this one's; a file that is not ours stays.
    assert {p.name for p in out.iterdir()} == set(before) - {"raters.csv", "raters_confusion.csv"} | {"mine.csv"}


def test_the_same_dataset_gives_the_same_bytes(tmp_path):
    data = stack(tmp_path / "toy.npz")
    for name in ("one", "two"):
        assert main(["agreement", str(data), "--out", str(tmp_path / name)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_help_starts_without_the_heavy_libraries(tmp_path):
    """Neither --help nor a whole run imports torch, pandas or matplotlib; --help not even SciPy."""
    code = (
        "import sys\nfrom probseg.cli import main\n"
        "try:\n    status = main(sys.argv[1:])\nexcept SystemExit as stop:\n    status = stop.code\n"
        "assert not status, status\n"
        "print('LOADED', *sorted({m.split('.')[0] for m in sys.modules}))\n"
    )

    def loaded(*arguments):
        command = [sys.executable, "-c", code, "agreement", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return set(next(x for x in done.stdout.splitlines() if x.startswith("LOADED")).split())

    heavy = {"torch", "lightning", "pytorch_lightning", "pandas", "matplotlib", "nibabel", "monai", "sklearn"}
    assert loaded("--help") & (heavy | {"scipy"}) == set()
    assert loaded(str(stack(tmp_path / "toy.npz")), "--out", "out") & heavy == set()


def test_one_site_of_several(tmp_path, capsys):
    source = stack(tmp_path / "stack.npz")
    with np.load(source) as archive:
        np.savez(source, **archive, site=np.array(["a", "a", "b", "b", "b", "b"]))
    assert main(["agreement", str(source), "--site", "a", "--out", str(tmp_path / "a")]) == 0
    assert {r["site"] for r in rows(tmp_path / "a" / "cases.csv")} == {"a"}
    assert main(["agreement", str(source), "--out", str(tmp_path / "all")]) == 0
    every, alone = (json.loads((tmp_path / n / "agreement.json").read_text()) for n in ("all", "a"))
    assert every["sites"]["a"]["structures"] == alone["structures"]
    assert alone["sites"] is None
    capsys.readouterr()
    assert main(["agreement", str(source), "--site", "c", "--out", str(tmp_path / "c")]) == 2
    assert "E_UNKNOWN_SITE" in capsys.readouterr().err


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_shards_merge_into_the_bytes_of_one_run(tmp_path, capsys):
    data = stack(tmp_path / "toy.npz", ("A", "B", "C"))
    chosen = ["--exclude", "C", "--region", "whole", "--tolerance", "1", "2.5"]
    assert main(["agreement", str(data), *chosen, "--out", str(tmp_path / "one")]) == 0
    parts = [str(tmp_path / f"part-{i}") for i in (1, 2, 3)]
    for i, part in enumerate(parts, start=1):
        assert main(["agreement", str(data), *chosen, "--shard", f"{i}/3", "--out", part]) == 0
    capsys.readouterr()
    # A shard that is whole may be asked for again.
    assert main(["agreement", str(data), *chosen, "--shard", "2/3", "--out", parts[1]]) == 0
    printed = capsys.readouterr()
    assert "shard 2/3: 2 of 6 cases, 2 of them measured before" in printed.out
    assert printed.out.splitlines()[-1].startswith("next: probseg agreement merge")
    assert main(["agreement", "merge", *reversed(parts), "--out", str(tmp_path / "merged")]) == 0
    assert files(tmp_path / "merged") == files(tmp_path / "one")
    report = json.loads((tmp_path / "merged" / "agreement.json").read_text(encoding="utf-8"))
    assert report["region"] == {"name": "whole", "text": "the whole image"}
    assert report["tolerances_mm"] == [1.0, 2.5]
    columns = (tmp_path / "merged" / "pairwise.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {"surface_dice_1_mm", "surface_dice_2.5_mm", "surface_distance_95_ab_mm", "cohen_kappa"} <= set(columns)


def test_a_run_that_was_stopped_goes_on(tmp_path, capsys, monkeypatch):
    from probseg.analysis import measuring

    data, out = stack(tmp_path / "toy.npz"), tmp_path / "out"
    assert main(["agreement", str(data), "--out", str(tmp_path / "whole")]) == 0
    measure_case, seen = measuring.case_statistics, []

    def stopped(case, *args, **kwargs):
        seen.append(case.case_id)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return measure_case(case, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "case_statistics", stopped)
        assert main(["agreement", str(data), "--out", str(out)]) == 130
    assert sorted(p.name for p in out.iterdir()) == ["measured"]
    assert len(list((out / "measured").iterdir())) == 3
    (out / "measured" / ".tmp1-0.json").write_text("{", encoding="utf-8")  # what a killed process leaves
    capsys.readouterr()
    assert main(["agreement", str(data), "--out", str(out)]) == 0
    assert "3 of 6 cases were measured before this run was stopped" in capsys.readouterr().out
    assert files(out) == files(tmp_path / "whole")
    # Tables without agreement.json were being written when it was stopped.
    (out / "agreement.json").unlink()
    (out / "measured").mkdir()
    assert main(["agreement", str(data), "--out", str(out)]) == 0
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["merge"], "E_USAGE: merge needs the folders"),
        (["merge", "nowhere"], "E_FILE_MISSING: 'nowhere' is no whole shard"),
        (["merge", "a", "--region", "whole"], "E_USAGE: --region was settled"),
        (["DATA", "DATA"], "E_USAGE: agreement takes one dataset"),
        (["DATA", "--shard", "0/2"], "E_ARGUMENT: a shard is I/N"),
        (["DATA", "--region", "lung"], "E_ARGUMENT: region 'lung' is none; the regions are union, whole, foreground"),
        (["DATA", "--tolerance", "2", "1"], "E_ARGUMENT: tolerances"),
        (["DATA", "--margin", "dice"], "E_USAGE: a margin is FIGURE=VALUE"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, capsys, arguments, said):
    data, out = stack(tmp_path / "toy.npz"), tmp_path / "out"
    arguments = [str(data) if a == "DATA" else a for a in arguments]
    assert main(["agreement", *arguments, "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not out.exists()


def test_a_folder_of_another_run_is_no_place_for_a_shard(tmp_path, capsys):
    data, out = stack(tmp_path / "toy.npz"), tmp_path / "out"
    assert main(["agreement", str(data), "--shard", "1/2", "--out", str(out)]) == 0
    assert main(["agreement", str(data), "--shard", "2/2", "--out", str(out)]) == 2
    assert "E_OUTPUT_EXISTS" in capsys.readouterr().err
    assert main(["agreement", str(data), "--out", str(out), "--overwrite"]) == 0
    assert not (out / "shard.json").exists()
    assert not (out / "measured").exists()
