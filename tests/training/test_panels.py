"""Pictures during a training: in the run folder, in TensorBoard, in Weights & Biases, and at the end the curves."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from probseg.batch import Example, collate
from probseg.cli import main
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.report.plots import training_figures
from probseg.training.panels import Panels, _differ, _plane, _row

PANELS = (
    "--trainer.callbacks+=probseg.training.Panels",
    "--trainer.callbacks.init_args.cases=2",
    "--trainer.callbacks.init_args.share=0",
)


def case(masks, rated=None, name="a", space=(2, 2)):
    masks = torch.tensor(masks, dtype=torch.uint8).reshape(-1, *space)
    rated = torch.ones_like(masks, dtype=torch.bool) if rated is None else torch.tensor(rated).reshape(masks.shape)
    return Example(torch.zeros(1, *space), masks, rated, 0, 0, name, "", torch.ones(len(space)))


def test_where_raters_differ_by_hand():
    # raters 1 0 0 0 and 1 1 0 0, the second of whom did not look at the last pixel but one
    one = collate([case([1, 0, 0, 0, 1, 1, 2, 0], [True] * 6 + [False, True])])
    assert _differ(one).tolist() == [[False, True], [False, False]]


def test_a_volume_is_shown_where_raters_differ_most():
    masks = np.zeros((2, 3, 2, 2), int)
    masks[0, 1, 0], masks[0, 2, 0, 0] = 1, 1
    one = collate([case(masks.ravel().tolist(), space=(3, 2, 2))])
    distribution = SegmentationDistribution(torch.zeros(1, 4, 1, 2, 3, 2, 2))
    example = _plane(one, distribution, 2)
    assert (example.slice_index, example.slices) == (1, 3)
    assert example.mean.shape == (2, 2, 2) and example.readings.shape == (2, 2, 2)
    # rater 0 drew two pixels there and rater 1 none; each of four pixels is foreground with probability 1/2
    assert _row(example) == ["a", 2, 1.0, 2.0, pytest.approx(4 * np.log(2)), 0.0, pytest.approx(0.0, abs=1e-6)]


def test_settings_that_make_no_sense():
    for wrong in ({"cases": 0}, {"readings": -1}, {"share": 2}):
        with pytest.raises(ProbsegError, match="Panels needs cases of at least 1"):
            Panels(**wrong)


def test_a_training_is_seen(fit_words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged = []
    monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger.log_image", lambda *a, **k: logged.append((a[1], k)))
    monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger.log_table", lambda *a, **k: logged.append((a[1], k)))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", _unreachable)
    board = ("--trainer.logger=TensorBoardLogger", f"--trainer.logger.save_dir={tmp_path / 'board'}")
    words = ("--trainer.max_epochs=4", "--data.epoch_length=4", "--wandb=trial", *PANELS, *board)
    assert main(fit_words(tmp_path / "run", *words, family="probabilistic_unet")) == 0
    pictures = sorted((tmp_path / "run" / "panels").glob("step_*.png"))
    assert [p.stem for p in pictures] == ["step_0000002", "step_0000004"]  # after each validation
    shape = np.asarray(Image.open(pictures[0])).shape
    assert shape[0] > 300 and shape[1] > 1000
    curves = np.asarray(Image.open(tmp_path / "run" / "panels" / "curves.png"))
    assert curves.std() > 5  # not blank
    assert "train/active_units" in training_figures(tmp_path / "run" / "metrics.csv")
    events = EventAccumulator(str(next((tmp_path / "board").rglob("events*")).parent))
    events.Reload()
    assert [e.step for e in events.Images("panels")] == [2, 4]
    assert [key for key, _ in logged] == ["panels", "cases"] * 2
    assert len(logged[1][1]["data"]) == 2 and logged[1][1]["columns"][0] == "case_id"


def _unreachable(*args: object, **kwargs: object) -> None:
    raise OSError("no network")


def test_a_tenth_of_the_training_between_two_pictures(fit_words, tmp_path: Path):
    words = ("--trainer.max_epochs=6", "--data.epoch_length=4", "--trainer.check_val_every_n_epoch=1", *PANELS[:2])
    assert main(fit_words(tmp_path / "run", *words, "--trainer.callbacks.init_args.share=0.5")) == 0
    assert len(list((tmp_path / "run" / "panels").glob("step_*.png"))) == 2


def test_figures_of_no_run(tmp_path: Path):
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        training_figures(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ProbsegError, match="has no column 'step'"):
        training_figures(tmp_path / "metrics.csv")


def test_the_sweep_names_settings_that_exist(repository: Path, capsys: pytest.CaptureFixture[str]):
    sweep = yaml.safe_load((repository / "experiments" / "sweep.yaml").read_text(encoding="utf-8"))
    chosen = [f"--{name}={p['values'][0] if 'values' in p else p['min']}" for name, p in sweep["parameters"].items()]
    line = next(part for part in sweep["command"] if "probseg fit" in part)
    configs = [str(repository / word) for word in shlex.split(line) if word.endswith(".yaml")]
    words = [word for config in configs for word in ("-c", config)]
    with pytest.raises(SystemExit, match="0"):
        main(["fit", *words, *chosen, "--print_config"])
    settings = yaml.safe_load(capsys.readouterr().out)
    for name, p in sweep["parameters"].items():
        found = settings
        for part in name.split("."):
            found = found[part]
        assert found == (p["values"][0] if "values" in p else p["min"])
