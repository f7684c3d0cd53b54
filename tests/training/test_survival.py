"""A training that is killed, stopped or let down goes on as if nothing had happened, or says why not in one line."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from probseg.cli import main

pytestmark = pytest.mark.journey

KILLED = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from probseg.cli import main
from probseg.models import Deterministic

loss = Deterministic.loss
for step, words in json.loads(sys.argv[1]):  # each in a process of its own, killed in the middle of its step
    child = os.fork()
    if not child:
        left = [step]
        def until_killed(self, batch):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return loss(self, batch)
        Deterministic.loss = until_killed
        os._exit(main(words))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == -signal.SIGKILL, status
"""


def assert_one_line(status: int, stderr: str, start: str, expected: int = 2) -> None:
    assert status == expected, stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith(start)


def test_killed_at_any_step_it_goes_on_bit_for_bit(
    fit_words, random_words, whole, assert_same_training, tmp_path: Path
):
    """SIGKILL inside an epoch and at its first step; loader processes before and none afterwards."""
    step_by_step = (*random_words, "--last.minutes=0")
    calls = [
        (3, fit_words(tmp_path / "3", *step_by_step, "--data.num_workers=2")),
        (6, fit_words(tmp_path / "6", *step_by_step)),
        # the first checkpoint would come after five minutes: it begins anew
        (9, fit_words(tmp_path / "9", *random_words)),
    ]
    command = [sys.executable, "-W", "ignore", "-c", KILLED, json.dumps(calls)]
    done = subprocess.run(command, timeout=1200, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "9" / "checkpoints" / "last.ckpt").exists()
    for name in ("3", "6", "9"):
        run = tmp_path / name
        assert not (run / "training.json").exists()
        assert main([*fit_words(run, *random_words), "--resume"]) == 0
        assert_same_training(run, whole)
        assert json.loads((run / "training.json").read_text())["steps"] == 15


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_stopped_again_and_again_it_goes_on_bit_for_bit(
    fit_words, random_words, whole, assert_same_training, at_step, tmp_path: Path, monkeypatch, capsys
):
    """SIGTERM, then Ctrl-C, then SLURM's word that time is up, then to the end; a finished run is left as it is."""
    run = tmp_path / "run"
    words = [*fit_words(run, *random_words), "--resume"]  # as a job script would have it, from the first time on

    def stop_at(step: int, number: int, *more: str) -> tuple[int, str]:
        def stop() -> None:
            for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
                os.kill(process, number)

        at_step(step, stop)
        status = main([*words, *more])
        return status, capsys.readouterr().err

    status, told = stop_at(3, signal.SIGTERM, "--data.num_workers=1")  # the signal reaches the loader, too
    assert_one_line(status, told, "stopped by SIGTERM after step 3; the same command with --resume goes on", 143)
    status, told = stop_at(4, signal.SIGINT)
    assert status == 130
    assert "stopped by SIGINT after step 7" in told
    queue = tmp_path / "scontrol"
    queue.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    queue.chmod(0o755)
    for name, value in {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17", "SLURM_NTASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    status, told = stop_at(5, signal.SIGUSR1)
    assert_one_line(status, told, "stopped by SIGUSR1 after step 12", 128 + signal.SIGUSR1)
    assert (tmp_path / "asked").read_text() == "requeue 17\n"
    assert main(words) == 0
    assert_same_training(run, whole)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    capsys.readouterr()

    before = {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{run} is finished; ")
    assert {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()} == before


def test_a_loss_that_is_no_number_names_the_step_and_the_cases(
    fit_words, random_words, at_step, checkpoint_of, tmp_path: Path, capsys
):
    run = tmp_path / "run"
    at_step(4, lambda: math.inf)
    status = main(fit_words(run, *random_words, "--last.minutes=0"))
    told = capsys.readouterr().err
    assert_one_line(status, told, "error: E_NONFINITE_LOSS: the loss of step 3 is inf on LIDC-IDRI-")
    assert len(re.findall(r"LIDC-IDRI-\d{4}", told)) == 4
    last = checkpoint_of(run)
    assert last["global_step"] == 3
    assert all(torch.isfinite(v).all() for v in last["state_dict"].values())


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    fit_words, random_words, whole, assert_same_training, at_step, checkpoint_of, tmp_path: Path, capsys
):
    """The system itself refuses to write beyond a size, as it would on a full disk."""
    run = tmp_path / "run"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_step(5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1])))
    try:
        status = main(fit_words(run, *random_words, "--last.minutes=0"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = capsys.readouterr().err
    assert_one_line(status, told, f"error: E_NOT_WRITABLE: '{run}/checkpoints/")
    assert told.endswith("cannot be written: File too large\n")
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert checkpoint_of(run)["global_step"] == 4
    assert checkpoint_of(run, "previous")["global_step"] == 3
    at_step(-1, lambda: None)
    assert main([*fit_words(run, *random_words), "--resume"]) == 0
    assert_same_training(run, whole)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_loader_process_that_dies_is_one_line_and_the_last_checkpoint_stays(
    fit_words, random_words, at_step, checkpoint_of, tmp_path: Path, capsys
):
    """As the system kills it when memory runs out; torch raises it wherever the training just is."""
    run = tmp_path / "run"
    at_step(4, lambda: [os.kill(child.pid, signal.SIGKILL) for child in multiprocessing.active_children()] and None)
    status = main(fit_words(run, *random_words, "--last.minutes=0", "--data.num_workers=1"))
    assert_one_line(status, capsys.readouterr().err, "error: E_LOADER_DIED: the loader process")
    assert 3 <= checkpoint_of(run)["global_step"] <= 4


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    fit_words, random_words, whole, assert_same_training, at_step, tmp_path: Path, capsys
):
    run = tmp_path / "run"
    at_step(7, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(fit_words(run, *random_words, "--last.minutes=0")) == 143
    last = run / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    capsys.readouterr()
    assert main([*fit_words(run, *random_words), "--resume"]) == 0
    assert capsys.readouterr().err.startswith("warning: W_CHECKPOINT: the checkpoint")
    assert_same_training(run, whole)

    for name in ("last", "previous"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(content[:1000])
    (run / "training.json").unlink()
    assert main([*fit_words(run, *random_words), "--resume"]) == 2
    assert "error: E_CORRUPT_CHECKPOINT: " in capsys.readouterr().err


def test_it_goes_on_with_the_settings_it_began_with(fit_words, random_words, whole, tmp_path: Path, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "training.json").unlink()
    words = fit_words(run, *random_words)
    status = main([*words, "--resume", "--model.init_args.network.init_args.dropout=0.1"])
    told = "error: E_SCHEMA: the run was begun with another model.init_args.network.init_args.dropout; "
    assert_one_line(status, capsys.readouterr().err, told)
    status = main([*words, "--resume", "--overwrite=true"])
    assert_one_line(status, capsys.readouterr().err, "error: E_SCHEMA: --resume goes on with a run; ")
    wider = "--model.init_args.network.init_args.channels=[4,12]"
    status = main([*words, f"--ckpt_path={run}/checkpoints/last.ckpt", wider])
    assert_one_line(
        status, capsys.readouterr().err, "error: E_CLASS_MISMATCH: the weights of the checkpoint do not fit"
    )
    status = main(["test", "-c", str(run / "config.yaml"), "--resume"])
    assert_one_line(status, capsys.readouterr().err, "error: E_SCHEMA: --resume is for fit; test begins anew")


def test_an_ensemble_goes_on_with_the_member_that_was_stopped(fit_words, at_step, tmp_path: Path, capsys):
    run = tmp_path / "run"
    sizes = ("--model.init_args.size=2", "--model.init_args.member.init_args.network.init_args.channels=[4,8]")
    words = fit_words(run, *sizes, "--data.batch_size=4", "--trainer.max_steps=2", "--resume", family="ensemble")
    at_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))  # the first step of the second member
    assert main(words) == 143
    first = (run / "members" / "0" / "checkpoints" / "last.ckpt").read_bytes()
    capsys.readouterr()
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "member 1 of 2"
    assert out[1].startswith(f"{run / 'members' / '0'} is finished; ")
    assert (run / "members" / "0" / "checkpoints" / "last.ckpt").read_bytes() == first
    assert json.loads((run / "training.json").read_text())["steps"] == 4
