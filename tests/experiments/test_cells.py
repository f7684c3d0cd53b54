"""The experiment on named raters of cells: its data, one step of each model, and its tables."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from probseg.cli import main
from probseg.manifest import open_dataset

NAMES = tuple(f"Person{k}_{tool}" for k in (1, 2, 3) for tool in ("Amira", "ImageJ"))
TINY = (
    *("--trainer.max_steps=1", "--data.crop=[16,16]", "--data.batch_size=2", "--data.epoch_length=2"),
    *("--model.init_args.network.init_args.channels=[4,8]", "--model.init_args.draws=2"),
)


@pytest.fixture(scope="module")
def source() -> dict[str, np.ndarray]:
    """Eight images of a bright square that each rater draws a little differently, as the file of BU-BIL is laid out."""
    rng = np.random.default_rng(0)
    image = rng.integers(20, 60, (8, 24, 32)).astype(np.uint8)
    masks = np.zeros((8, len(NAMES), 24, 32), bool)
    for k in range(8):
        for r in range(len(NAMES)):
            grow = 0 if NAMES[r].startswith("Person2") else r
            masks[k, r, 6 : 16 + grow % 3, 8 : 18 + grow % 2] = True
        image[k, 6:16, 8:18] += 100
    return {
        "image": image,
        "masks": np.packbits(masks, axis=-1),
        "annotator": np.array(NAMES),
        "case": np.array([f"B{k:02}.png" for k in range(8)]),
    }


@pytest.fixture(scope="module")
def data(source: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory, cells: Cells) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    np.savez(folder / "bubil.npz", **source)
    cells.run("build", str(folder / "bubil.npz"), str(folder / "data"))
    return folder / "data"


class Cells:
    """Scripts of experiments/cells."""

    def __init__(self, script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
        self.script = script
        self._patch = monkeypatch

    def run(self, name: str, *words: str) -> None:
        """As from the command line."""
        with self._patch.context() as patched:
            patched.setattr(sys, "argv", [name, *words])
            self.script(f"cells/{name}").main()


@pytest.fixture(scope="module")
def cells(script: Callable[[str], ModuleType]) -> Cells:
    return Cells(script, pytest.MonkeyPatch())


def test_each_image_is_tested_once_and_a_copy_is_no_reading(data: Path) -> None:
    tested = []
    for fold in sorted(data.iterdir()):
        dataset = open_dataset(fold)
        splits = [record.split for record in dataset.records]
        assert splits.count("validation") == 1 and splits.count("train") == 5
        tested += [record.case_id for record in dataset.records if record.split == "test"]
        assert dataset.raters == ("Person1-Amira", "Person1-ImageJ", "Person2-Amira", "Person3-Amira", "Person3-ImageJ")
    assert sorted(tested) == [f"B{k:02}" for k in range(8)]


def test_the_same_file_gives_the_same_bytes(data: Path, tmp_path: Path, cells: Cells) -> None:
    cells.run("build", str(data.parent / "bubil.npz"), str(tmp_path))
    for path in sorted(data.rglob("*.*")):
        assert (tmp_path / path.relative_to(data)).read_bytes() == path.read_bytes(), path


def test_a_second_reading_is_not_left_out(source: dict[str, np.ndarray], script: Callable[[str], ModuleType]) -> None:
    other = source["masks"].copy()
    other[0, NAMES.index("Person2_ImageJ")] ^= 1
    with pytest.raises(SystemExit, match="reading of its own"):
        script("cells/build").readings(source | {"masks": other})


def test_lamps_are_made_alike(script: Callable[[str], ModuleType]) -> None:
    image = np.array([[10, 20, 30], [20, 20, 20]], np.uint8)  # median 20, standard deviation sqrt(200/6) = 5.77
    assert script("cells/build").scaled(image).tolist() == [[41, 96, 151], [96, 96, 96]]
    assert (script("cells/build").scaled(np.full((2, 2), 7, np.uint8)) == 96).all()


@pytest.fixture(scope="module")
def runs(data: Path, cells: Cells, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step on the first fold of the majority, and of the models that go on from it and know their raters."""
    folder = tmp_path_factory.mktemp("runs")
    study = cells.script("cells/study")
    for name in ("majority", "rater_conditioned", "rater_confusion"):
        run = folder / "fold-0" / name
        words = study.fit_words(data / "fold-0", run, name, 0)
        assert all(Path(word).is_file() for word in words if word.endswith(".yaml"))
        smaller = ["--model.init_args.hidden=2"] if name == "rater_confusion" else []
        assert main([*words, *TINY, *smaller]) == 0, name
        cells.script("cells/score").score(run, data / "fold-0")
    return folder


@pytest.mark.journey
def test_models_offer_their_readers(runs: Path) -> None:
    raters = {"Person1-Amira", "Person1-ImageJ", "Person2-Amira", "Person3-Amira", "Person3-ImageJ"}
    offered = {"rater_conditioned": raters | {"consensus"}, "rater_confusion": raters | {"truth"}}
    for run in sorted((runs / "fold-0").iterdir()):
        with (run / "readers.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {row["reader"] for row in rows} == offered.get(run.name, {run.name})
        assert {row["rater"] for row in rows} == raters and len({row["case_id"] for row in rows}) == 2
        assert all(0 <= float(row["dice"]) <= 1 for row in rows)
    config = yaml.safe_load((runs / "fold-0" / "rater_conditioned" / "config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["init_args"]["warm_start"].endswith("fold-0/majority")


def test_readings_by_hand(script: Callable[[str], ModuleType]) -> None:
    readings = script("cells/readings")
    names = ("P1-a", "P1-b", "P2-a")
    dice = {("P1-a", "P1-b"): 0.9, ("P1-a", "P2-a"): 0.5, ("P1-b", "P2-a"): 0.7}
    dice |= {(b, a): v for (a, b), v in dice.items()}
    pixels = {"P1-a": 10.0, "P1-b": 40.0, "P2-a": 90.0}
    human = readings.Readings.of([("x", a, b, v, pixels[a]) for (a, b), v in dice.items()])
    assert human.raters == names and math.isnan(human.own("P1-a")[0])
    assert human.others("P2-a")[0] == pytest.approx(0.6)  # both of the other person
    assert human.others("P1-a")[0] == 0.5 and human.others("P1-a", same_person=True)[0] == 0.9
    assert math.isnan(human.others("P2-a", same_person=True)[0])
    assert human.bias("P2-a")[0] == pytest.approx(math.log(90 / 20))  # sqrt(10 * 40) = 20


def test_tables_of_two_folds(
    data: Path, cells: Cells, script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run folders as study.py leaves them, of a model that copies its rater: it must beat the other persons."""
    readings, dataset = script("cells/readings"), open_dataset(data / "fold-0")
    readings.write_raters(dataset, tmp_path / "runs" / "raters.csv")
    human = readings.read_readers([tmp_path / "runs" / "raters.csv"])
    for fold in range(4):
        tests = [r.case_id for r in open_dataset(data / f"fold-{fold}").records if r.split == "test"]
        run = tmp_path / "runs" / f"fold-{fold}" / "rater_conditioned"
        (run / "test").mkdir(parents=True)
        rows = ["case_id,reader,rater,dice,reader_pixels,rater_pixels"]
        for case in tests:
            k = human.cases.index(case)
            for reader in (*human.raters, "consensus"):
                source = "MAJORITY" if reader == "consensus" else reader
                for j, rater in enumerate(human.raters):
                    value = 1.0 if reader == rater else human.dice[source][k, j]
                    rows.append(f"{case},{reader},{rater},{value},{human.pixels[source][k]},1")
        (run / "readers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        names = script("cells/table").FIGURES
        figures = [f"{case},{case}," + ",".join("0.5" for _ in names) for case in tests]
        (run / "test" / "cases.csv").write_text(
            "\n".join(["case_id,patient_id," + ",".join(names), *figures]) + "\n", encoding="utf-8"
        )
    assert main(["agreement", str(data / "fold-0"), "--jobs", "1", "--out", str(tmp_path / "agreement")]) == 0
    capsys.readouterr()
    cells.run("table", str(tmp_path), str(tmp_path))
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["table"], row["figure"], row["rater"]): row for row in csv.DictReader(file)}
    own = rows["rater_conditioned", "own", "all"]
    assert float(own["value"]) == 1.0 and own["n"] == "8"
    gain = rows["rater_conditioned", "own less other persons", "Person3-Amira"]
    assert 0 < float(gain["low"]) <= float(gain["value"])
    assert float(rows["rater_conditioned", "correlation of log area ratios", "all"]["value"]) == pytest.approx(1.0)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "### rater_conditioned" in text and "### staple" not in text, "what was not measured has no table"
