"""The experiment on how many raters are enough: its studies, one step of each target, and its tables."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from probseg.cli import main
from probseg.manifest import open_dataset

TINY = (
    *("--trainer.max_steps=1", "--data.batch_size=2", "--data.epoch_length=2", "--model.init_args.draws=2"),
    "--model.init_args.network.init_args.channels=[4,8]",
)
FIGURES = (*("ged_v", "ged_u", "diversity", "soft_dice", "nll", "brier", "volume_crps", "coverage_80", "coverage_95"),)


@pytest.fixture(scope="module")
def build(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("raters/build")


@pytest.fixture(scope="module")
def sample(build: ModuleType) -> dict[str, np.ndarray]:
    with np.load(str(build.SAMPLE)) as archive:
        return {name: archive[name] for name in archive.files}


def names_of(study: dict[str, np.ndarray]) -> list[tuple[str, int, int]]:
    train = study["split"] == "train"
    return list(
        zip(*(study[name][train].tolist() for name in ("patient", "nodule", "slice")), strict=True)  # type: ignore[arg-type]
    )


def test_a_smaller_study_lies_within_a_larger_one(build: ModuleType, sample: dict[str, np.ndarray]) -> None:
    small, wide, one = (build.study(sample, n, m, 0) for n, m in ((60, 2), (120, 2), (120, 1)))
    assert len(names_of(small)) == 60 and set(names_of(small)) < set(names_of(wide))
    assert names_of(wide) == names_of(one)
    np.testing.assert_array_equal(wide["masks"][:, :1], one["masks"])  # the first of two raters is the one
    assert wide["masks"].shape[1:] == (2, 64, 8) and set(wide["split"]) == {"train", "validation"}
    assert names_of(build.study(sample, 60, 2, 1)) != names_of(small), "another seed, another study"


def test_masks_are_of_their_image(build: ModuleType, sample: dict[str, np.ndarray]) -> None:
    study = build.study(sample, 40, 3, 0)
    place = {key: k for k, key in enumerate(zip(sample["patient"].tolist(), sample["nodule"].tolist(), strict=True))}
    for k, key in enumerate(zip(study["patient"].tolist(), study["nodule"].tolist(), strict=True)):
        np.testing.assert_array_equal(study["image"][k], sample["image"][place[key]])
        whole = [mask.tobytes() for mask in sample["masks"][place[key]]]
        assert all(mask.tobytes() in whole for mask in study["masks"][k])


@pytest.mark.parametrize(("cases", "raters"), [(0, 1), (264, 1), (60, 0), (60, 5)])
def test_what_the_sample_does_not_have(
    build: ModuleType, sample: dict[str, np.ndarray], cases: int, raters: int
) -> None:
    with pytest.raises(SystemExit, match=f"263 training cases of 4 raters, not {cases} of {raters}"):
        build.study(sample, cases, raters, 0)


@pytest.fixture(scope="module")
def work(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of eight cases with two raters, made as from the command line, twice."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("8x2-seed0", "again"):
            words = [str(folder / "data" / name), "--cases", "8", "--raters", "2"]
            patched.setattr(sys, "argv", ["build.py", *words])
            build.main()
    return folder


def test_the_same_seed_gives_the_same_bytes(work: Path) -> None:
    for name in ("dataset.yaml", "readings.npz"):
        assert (work / "data" / "again" / name).read_bytes() == (work / "data" / "8x2-seed0" / name).read_bytes()
    dataset = open_dataset(work / "data" / "again")
    assert len(dataset.select(["train"])) == 8 and not dataset.info.stable_raters
    assert all(len(record.readings) == 2 for record in dataset.records)


@pytest.mark.journey
def test_a_distribution_goes_on_from_soft_labels(script: Callable[[str], ModuleType], work: Path) -> None:
    study = script("raters/study")
    for target in ("soft_labels", "stochastic_segmentation"):
        words = study.fit_words(work, "8x2-seed0", target, 0)
        assert main([*words, *TINY]) == 0, target
        record = json.loads((work / "runs" / f"8x2-seed0-{target}" / "training.json").read_text(encoding="utf-8"))
        warm = record["warm_start"]
        assert record["steps"] == 1 and bool(warm) == (target in study.WARM)
        assert not warm or "8x2-seed0-soft_labels" in warm


def test_targets_are_trained_once(script: Callable[[str], ModuleType]) -> None:
    trainings = script("raters/design").trainings()
    assert len(set(trainings)) == len(trainings) == 15
    assert (240, 1, "random_rater") not in trainings and (240, 1, "soft_labels") in trainings
    assert {n * m for n, m, _ in trainings} == {240, 960}


def write_run(folder: Path, shift: float, patients: int = 6) -> None:
    """A tested run whose every figure of case k is ``0.1 k + shift``."""
    (folder / "test").mkdir(parents=True)
    rows = [f"c{k},p{k},," + ",".join(f"{0.1 * k + shift:.3f}" for _ in FIGURES) for k in reversed(range(patients))]
    (folder / "test" / "cases.csv").write_text(
        "\n".join(["case_id,patient_id,site," + ",".join(FIGURES), *rows]) + "\n", encoding="utf-8"
    )
    results = f"family,metric,value,low,high,n\nx,ece,{shift},{shift - 0.1},{shift + 0.1},{patients}\n"
    (folder / "results.csv").write_text(results, encoding="utf-8")
    (folder / "training.json").write_text('{"steps": 7}', encoding="utf-8")


def test_tables_by_hand(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, shift in ((0, 0.0), (1, 0.2)):
        write_run(tmp_path / "runs" / f"60x4-seed{seed}-soft_labels", shift)
    write_run(tmp_path / "runs" / "120x2-seed0-soft_labels", 0.5)
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path), str(tmp_path)])
    script("raters/table").main()
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = {(r["cases_x_raters"], r["target"], r["metric"]): r for r in csv.DictReader(file)}
    # Mean of 0, 0.1 .. 0.5 is 0.25, and of the two seeds' shifts 0.1.
    assert float(rows["60 x 4", "soft_labels", "nll"]["value"]) == pytest.approx(0.35)
    assert rows["60 x 4", "soft_labels", "nll"]["seeds"] == "2"
    ece = rows["60 x 4", "soft_labels", "ece"]
    assert [float(ece[end]) for end in ("value", "low", "high")] == pytest.approx([0.1, -0.1, 0.3])
    gap = rows["120 x 2 less 60 x 4", "soft_labels", "ged_v"]
    assert float(gap["value"]) == pytest.approx(0.5) and gap["n"] == "6"  # of the seed that both have
    chance = rows["60 x 4, seed 1 less 0", "soft_labels", "nll"]
    assert float(chance["value"]) == pytest.approx(0.2) and chance["seeds"] == "1"
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "6 test cases of 6 patients" in text and "| soft_labels | 120 x 2 less 60 x 4 | 1 | **+0.500" in text
