"""A budget of processor time."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from probseg.cli import main
from probseg.errors import ProbsegError
from probseg.models.schedules import Budget
from probseg.training import CpuBudget


def trainer() -> SimpleNamespace:
    return SimpleNamespace(world_size=1, should_stop=False)


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def test_it_counts_work_and_not_waiting_and_ends_the_training():
    budget, it = CpuBudget(0.2 / 60), trainer()
    budget.on_train_start(it, None)
    time.sleep(0.3)
    budget.on_train_batch_end(it)
    assert not it.should_stop
    assert budget.share < 0.5
    work(0.25)
    budget.on_train_batch_end(it)
    assert it.should_stop
    assert isinstance(budget, Budget)


def test_what_was_spent_goes_into_the_checkpoint_and_on():
    first, second = CpuBudget(1.0), CpuBudget(1.0)
    first.on_train_start(trainer(), None)
    work(0.1)
    first.on_train_end(trainer(), None)
    spent = first.state_dict()
    assert 0.1 <= spent["cpu_seconds"] < 0.3
    work(0.1)
    assert first.state_dict() == spent, "what comes after the training does not count"
    second.load_state_dict(spent)
    it = trainer()
    second.on_train_start(it, None)
    work(0.1)
    assert second.seconds > spent["cpu_seconds"] + 0.1
    over = CpuBudget(0.1 / 60)
    over.load_state_dict(spent)
    over.on_train_start(it, None)
    assert it.should_stop


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_loader_processes_count_while_they_work_and_when_they_have_ended():
    budget = CpuBudget(1.0)
    budget.on_train_start(trainer(), None)
    child = multiprocessing.get_context("fork").Process(target=work, args=(0.5,))
    child.start()
    time.sleep(0.05)
    child.join()
    assert 0.5 <= budget.seconds < 1.5


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_a_budget_out_of_range_is_refused(minutes):
    with pytest.raises(ProbsegError, match="E_SCHEMA: minutes of CpuBudget"):
        CpuBudget(minutes)


@pytest.mark.journey
def test_the_rate_follows_the_budget_to_the_end_of_the_training(fit_words, checkpoint_of, tmp_path: Path):
    words = (
        *("--data.batch_size=4", "--trainer.max_epochs=-1", "--trainer.callbacks+=probseg.training.CpuBudget"),
        *("--trainer.callbacks.init_args.minutes=0.02", "--model.init_args.network.init_args.channels=[4,8]"),
    )
    assert main(fit_words(tmp_path / "run", *words)) == 0
    last = checkpoint_of(tmp_path / "run")
    assert last["lr_schedulers"][0]["_last_lr"][0] < 0.003 * 0.2
    assert last["callbacks"]["CpuBudget"]["cpu_seconds"] >= 1.2
    assert json.loads((tmp_path / "run" / "training.json").read_text())["steps"] == last["global_step"] > 2
