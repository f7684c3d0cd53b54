"""``probseg agreement`` with predictions, repeats and sites: the files a group would publish from."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from probseg.analysis import analyse
from probseg.case import Geometry
from probseg.cli import main
from probseg.io import nifti
from probseg.io.predicted import open_predictions
from probseg.manifest import open_dataset

pytestmark = pytest.mark.journey

N = 12


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def disc(rng, radius):
    y, x = np.indices((16, 16)) - 7.5 + 0.6 * rng.normal(size=(2, 1, 1))
    return (np.hypot(x, y) < radius).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve images of two sites, three raters of whom anna reads twice, and the predictions of a model."""
    root = tmp_path_factory.mktemp("study")
    data, predictions = root / "data", root / "predictions"
    data.mkdir()
    rng = np.random.default_rng(0)
    radii = 3 + 2.5 * rng.random(N)
    raters = {"anna": 0.0, "bob": 0.5, "carl": -0.5, "anna-2": 0.0}
    masks = np.array([[disc(rng, r + shift + 0.2 * rng.normal()) for shift in raters.values()] for r in radii])
    np.savez(
        data / "s.npz",
        image=np.zeros((N, 16, 16), np.uint8),
        masks=masks,
        annotator=np.array(list(raters)),
        case=np.array([f"c{i:02d}" for i in range(N)]),
        site=np.array(["north", "south"] * (N // 2)),
        pixel_spacing_mm=np.full(N, 0.7),
        slice_thickness_mm=np.full(N, 2.0),
    )
    described = {
        "name": "discs",
        "dimensions": 2,
        "labels": {"classes": [{"value": 0, "name": "background"}, {"value": 1, "name": "nodule"}]},
        "window": [0, 255],
        "raters": {"stable": True, "repeats": {"anna-2": "anna"}},
        "stack": "s.npz",
    }
    (data / "dataset.yaml").write_text(yaml.safe_dump(described))
    scans = []
    for i, r in enumerate(radii):
        folder = predictions / f"c{i:02d}"
        grid = Geometry((1, 16, 16), (2.0, 0.7, 0.7))
        nifti.write(folder / "mode.nii.gz", disc(rng, r + 0.2 * rng.normal())[None], grid)
        entropy = {"entropy": {"scan": 0.01 + 0.02 * rng.random(), "foreground": None}}
        summary = {"shape": [16, 16], "classes": {"background": 0, "nodule": 1}, "uncertainty_nats": entropy}
        (folder / "summary.json").write_text(json.dumps(summary))
        digest = hashlib.sha256((folder / "mode.nii.gz").read_bytes()).hexdigest()
        scans.append({"case_id": folder.name, "files": {"mode.nii.gz": digest}})
    (predictions / "manifest.json").write_text(json.dumps({"scans": scans}))
    return data, predictions


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    data, predictions = made
    command = ["agreement", str(data), "--predictions", str(predictions), "--by", "site", "--out", str(out / "a")]
    assert main([*command, "--margin", "dice=0.1", "surface_distance_95_mm=1"]) == 0
    return out / "a"


def test_every_table_is_there(written):
    names = {p.stem for p in written.glob("*.csv")}
    assert {"volumes", "icc", "bland_altman", "raters", "raters_confusion", "repeats", "ceiling", "planning"} <= names
    assert {"second_readings", "sites", "pairwise", "cases"} <= names
    # a person is one rater: the repeat is in no table of raters among themselves
    assert {r["rater"] for r in rows(written / "raters.csv")} == {"anna", "bob", "carl"}
    assert {r["rater_b"] for r in rows(written / "pairwise.csv")} == {"bob", "carl", "prediction"}


def test_the_repeat_agrees_better_than_two_raters(written):
    anna, everyone = rows(written / "repeats.csv")
    assert (anna["rater"], everyone["rater"]) == ("anna", "")
    assert anna["dice_n"] == str(N)
    assert float(anna["coefficient_percent"]) < float(anna["coefficient_between_percent"])


def test_biases_have_their_sign(written):
    bias = {r["rater"]: float(r["volume_log_ratio"]) for r in rows(written / "raters.csv")}
    assert bias["carl"] < bias["anna"] < bias["bob"]
    pairs = {(r["measure"], r["rater_a"], r["rater_b"]): r for r in rows(written / "bland_altman.csv")}
    row = pairs["volume_ml", "bob", "carl"]
    assert float(row["bias_from"]) > 0
    assert float(row["limit_low_from"]) < float(row["limit_low"]) < float(row["limit_low_to"])
    assert ("volume_ml", "prediction", "mean of raters") in pairs
    assert [r["kind"] for r in rows(written / "icc.csv")] == ["1,1", "2,1", "3,1"]


def test_the_ceiling_and_its_verdicts(written):
    ceiling = {(r["figure"], r["held_out"]): r for r in rows(written / "ceiling.csv")}
    dice = ceiling["dice", ""]
    assert float(dice["difference"]) == pytest.approx(float(dice["model"]) - float(dice["raters"]), abs=1e-5)
    # the model draws as anna does, between the two who draw too wide and too narrow
    assert float(dice["difference"]) > 0 and float(dice["williams_index"]) > 1
    assert (dice["margin"], dice["verdict"]) == ("0.1", "non-inferior")
    assert ceiling["surface_distance_95_mm", ""]["verdict"] == "non-inferior"
    assert ceiling["iou", ""]["verdict"] == ""
    assert {h for f, h in ceiling if f == "dice"} == {"", "anna", "bob", "carl"}
    report = json.loads((written / "agreement.json").read_text(encoding="utf-8"))
    assert report["ceiling"][0]["figure"] == "dice" and report["raters_refused"] is None
    assert report["raters"]["bob"]["nodule"]["volume_log_ratio"]["value"] > 0


def test_second_readings_are_ranked_with_the_model(written):
    cases = rows(written / "second_readings.csv")
    assert [int(r["rank_with_model"]) for r in cases] == list(range(1, N + 1))
    gains = [float(r["gain_with_model_ml"]) for r in cases]
    assert gains == sorted(gains, reverse=True)


def test_sites(written):
    sites = rows(written / "sites.csv")
    assert [(r["site"], r["class"]) for r in sites] == [
        (site, name) for site in ("north", "south") for name in ("all classes", "nodule")
    ]
    assert all(float(r["model_dice"]) > 0.5 for r in sites if r["class"] == "nodule")
    assert {r["cases"] for r in sites} == {str(N // 2)}


def test_what_is_printed(made, tmp_path, capsys):
    data, predictions = made
    assert main(["agreement", str(data), "--predictions", str(predictions), "--out", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for words in (
        "the model differs from a reader by",
        "at a margin of 0.05 it is not inferior",
        "one reader's two readings overlap",
        "To halve the interval of Fleiss' kappa",
        "Raters against the others: nodule",
        "The model in a rater's place",
    ):
        assert words in " ".join(printed.out.split()), words


def test_python_gives_the_same_and_frames_plot(made, written):
    import matplotlib as mpl

    mpl.use("Agg")
    data, predictions = made
    dataset = open_dataset(data)
    report = analyse(
        dataset,
        open_predictions(predictions, dataset.info.labels),
        margins={"dice": 0.1, "surface_distance_95_mm": 1.0},
    )
    frames = report.frames()
    by_hand = {(r["figure"], r["held_out"]): r for r in rows(written / "ceiling.csv")}
    for row in frames["ceiling"].itertuples():
        assert float(by_hand[row.figure, row.held_out]["raters"]) == pytest.approx(row.raters, rel=1e-5)
    assert frames["pairwise"].groupby("rater_a")["dice"].mean().plot.bar() is not None
    mpl.pyplot.close("all")


def test_a_copy_is_no_repeat(made, tmp_path, capsys):
    data, _ = made
    copied = tmp_path / "data"
    copied.mkdir()
    with np.load(data / "s.npz") as arrays:
        kept = dict(arrays)
    kept["masks"][:, 3] = kept["masks"][:, 0]
    np.savez(copied / "s.npz", **kept)
    (copied / "dataset.yaml").write_text((data / "dataset.yaml").read_text())
    assert main(["agreement", str(copied), "--out", str(tmp_path / "out")]) == 0
    error = capsys.readouterr().err
    assert error.count("warning: ") == 1
    assert "W_IDENTICAL_RATERS: 'anna-2' has the same masks as 'anna'" in error


def test_without_identities_no_single_rater_is_told(made, tmp_path, capsys):
    data, predictions = made
    other = tmp_path / "data"
    other.mkdir()
    with np.load(data / "s.npz") as arrays:
        kept = dict(arrays)
    kept["site"] = np.array(["here"] * N)
    np.savez(other / "s.npz", **kept)
    described = yaml.safe_load((data / "dataset.yaml").read_text())
    (other / "dataset.yaml").write_text(yaml.safe_dump(described | {"raters": {"stable": False}}))
    out = tmp_path / "out"
    command = ["agreement", str(other), "--predictions", str(predictions), "--by", "site", "--out", str(out)]
    assert main(command) == 0
    assert "All cases come from one site" in capsys.readouterr().out
    names = {p.name for p in out.iterdir()}
    assert not {"raters.csv", "raters_confusion.csv", "repeats.csv", "sites.csv"} & names
    assert {r["held_out"] for r in rows(out / "ceiling.csv")} == {""}
    assert [r["kind"] for r in rows(out / "icc.csv")] == ["1,1"]
    assert {r["rater_b"] for r in rows(out / "bland_altman.csv")} == {"mean of raters"}
    assert {r["scope"] for r in rows(out / "planning.csv")} == {"these raters"}
    report = json.loads((out / "agreement.json").read_text(encoding="utf-8"))
    assert report["raters"] is None and "not a person" in report["raters_refused"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--margin", "dice"], "E_USAGE"),
        (["--margin", "dyce=0.1"], "E_ARGUMENT"),
        (["--margin", "dice=-1"], "E_ARGUMENT"),
        (["--predictions", "nowhere"], "E_FILE_MISSING"),
        (["--by", "rater"], "E_USAGE"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(made, tmp_path, capsys, arguments, code):
    out = tmp_path / "out"
    assert main(["agreement", str(made[0]), *arguments, "--out", str(out)]) != 0
    error = capsys.readouterr().err
    assert error.startswith(f"error: {code}: ") and error.count("\n") == 1
    assert not out.exists()


def test_a_report_measured_in_parts_is_the_same(made):
    """Whatever comes out of a file of a case: the figures follow from it to the last digit."""
    from probseg.analysis.agreement import merge
    from probseg.analysis.case_files import from_plain, to_plain

    data, predictions = made
    dataset = open_dataset(data)
    report = analyse(dataset, open_predictions(predictions, dataset.info.labels), samples=50)
    again = [from_plain(json.loads(json.dumps(to_plain(case)))) for case in report.cases]
    assert merge(again, dataset.info, report.settings).to_dict() == report.to_dict()
    assert replace(report.settings) == report.settings
