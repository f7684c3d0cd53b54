"""The moving average of weights, by hand and through a training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from probseg.cli import main
from probseg.errors import ProbsegError
from probseg.training import MovingAverage


def test_by_hand():
    """Weights 0, then 1, 1, 2; decay 0.5 from step 8 on, before that (1 + t) / (10 + t) = 2/11, 3/12, 4/13."""
    model = nn.Linear(1, 1, bias=False)
    average, trainer = MovingAverage(0.5), SimpleNamespace(global_step=0)
    nn.init.zeros_(model.weight)
    average.on_train_start(trainer, model)
    expected = 0.0
    for step, weight in ((1, 1.0), (2, 1.0), (3, 2.0)):
        nn.init.constant_(model.weight, weight)
        trainer.global_step = step
        average.on_train_batch_end(trainer, model)
        average.on_train_batch_end(trainer, model)  # a batch whose gradient is only gathered
        d = (1 + step) / (10 + step)
        expected = d * expected + (1 - d) * weight
    average.on_validation_start(trainer, model)
    assert model.weight.item() == pytest.approx(expected, rel=1e-6)
    average.on_validation_end(trainer, model)
    assert model.weight.item() == 2.0


def test_running_statistics_are_averaged_and_other_buffers_taken():
    model = nn.BatchNorm1d(1)
    average, trainer = MovingAverage(0.0), SimpleNamespace(global_step=0)  # no memory: the average is the weights
    average.on_train_start(trainer, model)
    model(torch.tensor([[1.0], [3.0]]))
    trainer.global_step = 1
    average.on_train_batch_end(trainer, model)
    checkpoint = {"state_dict": model.state_dict(), "callbacks": {}}
    average.on_save_checkpoint(trainer, model, checkpoint)
    assert checkpoint["state_dict"]["running_mean"].item() == pytest.approx(0.2)
    assert checkpoint["state_dict"]["num_batches_tracked"].item() == 1


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ProbsegError, match="E_SCHEMA: decay of MovingAverage"):
        MovingAverage(decay)


@pytest.mark.journey
def test_the_best_checkpoint_is_the_average_that_was_validated(whole: Path, checkpoint_of, capsys):
    """Its figures are those that the training logged, and its weights are not those that were trained."""
    best = checkpoint_of(whole, "best")
    trained = best["callbacks"]["MovingAverage"]["trained"]
    weight = "network.classify.weight"
    assert not torch.equal(best["state_dict"][weight], trained[weight])
    logged = [line.split(",") for line in (whole / "metrics.csv").read_text().splitlines()]
    column = logged[0].index("validation/nll")
    lowest = min(float(row[column]) for row in logged[1:] if row[column])
    assert main(["validate", "-c", str(whole / "config.yaml")]) == 0
    measured = dict(line.split(",")[1:] for line in (whole / "validation.csv").read_text().splitlines())
    (whole / "validation.csv").unlink()
    assert float(measured["nll"]) == pytest.approx(lowest, rel=1e-5)
