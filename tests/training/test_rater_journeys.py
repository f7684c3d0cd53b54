"""Named raters through the real command line: fit, go on, test and predict, one rater alone, and STAPLE as a target."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from probseg.cli import main
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
from probseg.models import RaterConditioned, RaterConfusion, load_model

pytestmark = pytest.mark.journey

FAMILIES = {
    "rater_conditioned": (RaterConditioned, "consensus", ("--model.init_args.hidden=4", "--model.init_args.latent=2")),
    "rater_confusion": (RaterConfusion, "truth", ("--model.init_args.hidden=3",)),
}
RATERS = ("rater-1", "rater-2", "rater-3")
TINY = (
    *("--trainer.max_epochs=1", "--trainer.limit_val_batches=1", "--trainer.precision=32", "--trainer.callbacks=[]"),
    *("--trainer.log_every_n_steps=1", "--data.slices=true", "--data.crop=[16,16]", "--data.batch_size=4"),
    *("--data.epoch_length=8", "--data.foreground=0.7", "--model.init_args.network.init_args.channels=[4,8]"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small volumes of three named raters, of whom the third left slices unread."""
    cases = generate(6, 0, DEFAULT_SITES[:2], default_raters(3), (4, 32, 32))
    return write(cases, tmp_path_factory.mktemp("named") / "ct", 0, shares=(0.5, 0.17, 0.0, 0.33))


@pytest.fixture(scope="module")
def words(repository: Path, data: Path) -> Callable[..., list[str]]:
    experiments = repository / "experiments"

    def make(family: str, out: Path, *more: str) -> list[str]:
        configs = ("-c", str(experiments / "trainer.yaml"), "-c", str(experiments / "synthetic" / f"{family}.yaml"))
        return ["fit", *configs, f"--data.root={data}", *TINY, f"--out={out}", *more]

    return make


@pytest.fixture(scope="module")
def runs(words: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for family, (_, _, tiny) in FAMILIES.items():
        equal = "--data.weights=probseg.data.weights.EqualRaters"
        assert main(words(family, folder / family, *tiny, equal, "--model.init_args.draws=4")) == 0, family
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("family", FAMILIES)
def test_fit_knows_its_raters_by_name(runs: Path, family: str):
    kind, central, _ = FAMILIES[family]
    model = load_model(runs / family)
    assert isinstance(model, kind) and model.known.names == RATERS
    logged = set().union(*(row.keys() for row in rows_of(runs / family / "metrics.csv")))
    assert {f"train/rater_{name}" for name in RATERS} & logged
    if isinstance(model, RaterConditioned):
        assert model.style_of("rater-2").shape == (2,) and not model.style_of(central).any()
    else:
        matrix = model.confusion_of("rater-2", torch.rand(2, 1, 16, 16))
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(9))


@pytest.mark.parametrize("family", FAMILIES)
def test_test_and_predict_all_raters_and_one(
    runs: Path, family: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run, (_, central, _) = runs / family, FAMILIES[family]
    assert main(["test", "-c", str(run / "config.yaml"), "--trainer.limit_test_batches=1"]) == 0
    whole = [row for row in rows_of(run / "results.csv") if not row.get("class") and not row.get("site")]
    figures = {row["metric"]: float(row["value"]) for row in whole if row["value"]}
    assert all(np.isfinite(figures[name]) for name in ("ged_v", "nll", "ece"))
    scan = data / "images" / "case-0000"
    modes = {}
    for rater in (None, "rater-2", central):
        out = tmp_path / str(rater)
        asked = [] if rater is None else ["--rater", rater]
        assert main(["predict", str(run), str(scan), "--out", str(out), *asked]) == 0
        summary = json.loads(next(out.glob("*/summary.json")).read_text(encoding="utf-8"))
        assert summary["draws"] == (4 if rater is None else 1)
        modes[rater] = nib.load(next(out.glob("*/probability.nii.gz"))).get_fdata()
    assert not np.array_equal(modes["rater-2"], modes[central])
    capsys.readouterr()
    assert main(["predict", str(run), str(scan), "--out", str(tmp_path / "x"), "--rater", "nobody"]) == 2
    assert capsys.readouterr().err.startswith("error: E_UNKNOWN_RATER: the model has learnt no rater 'nobody'")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_goes_on(runs: Path, family: str, words: Callable[..., list[str]]):
    last = runs / family / "checkpoints" / "last.ckpt"
    steps = torch.load(last, weights_only=True)["global_step"]
    more = words(family, runs / family, *FAMILIES[family][2], f"--ckpt_path={last}", "--trainer.max_epochs=2")
    more += ["--data.weights=probseg.data.weights.EqualRaters", "--model.init_args.draws=4"]
    assert main(more) == 0
    assert torch.load(last, weights_only=True)["global_step"] == 2 * steps


@pytest.mark.parametrize("family", FAMILIES)
def test_raters_who_change_are_refused_in_one_line(
    family: str, words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sample = ("--data.root=lidc-sample", "--data.slices=false", "--model.init_args.network.init_args.num_classes=2")
    assert main(words(family, tmp_path / "run", *FAMILIES[family][2], *sample)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_UNSTABLE_RATERS: Rater") and "'lidc-sample'" in line


def test_staple_is_a_target_and_no_rater(
    words: Callable[..., list[str]], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    target = "--model.init_args.target=probseg.models.VirtualMask"
    assert main(words("deterministic", tmp_path / "without", target)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_UNKNOWN_RATER: the data have no virtual rater 'STAPLE'")
    staple = "--data.virtual_raters+=probseg.data.virtual_raters.Staple"
    assert main(words("deterministic", tmp_path / "run", target, staple)) == 0
    assert main(["test", "-c", str(tmp_path / "run" / "config.yaml"), "--trainer.limit_test_batches=1"]) == 0
    record = json.loads((tmp_path / "run" / "test" / "summary.json").read_text(encoding="utf-8"))
    assert record["raters_max"] == 3
    (tmp_path / "alone.ckpt").write_bytes((tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes())
    assert load_model(tmp_path / "alone.ckpt").target.virtual_rater == "STAPLE"  # without its config beside it
    capsys.readouterr()
    scan, out = data / "images" / "case-0000", tmp_path / "x"
    assert main(["predict", str(tmp_path / "run"), str(scan), "--out", str(out), "--rater", "rater-1"]) == 2
    assert "E_USAGE: --rater is for models that know their raters" in capsys.readouterr().err
