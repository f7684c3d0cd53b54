"""What libraries say of a training that breaks down, as one line of ours, and SLURM's queue."""

from __future__ import annotations

import subprocess

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from probseg.errors import ProbsegWarning
from probseg.training.faults import fault_of, is_a_consequence
from probseg.training.slurm import requeue


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "E_LOADER_DIED"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "E_LOADER_DIED"),
        ("DataLoader timed out after 600 seconds", "E_LOADER_HANGS"),
        (
            "Caught ProbsegError in DataLoader worker process 0.\n  x\nprobseg.errors.ProbsegError: E_PARSE: no",
            "E_PARSE",
        ),
        ("Error(s) in loading state_dict for Deterministic:\n\tsize mismatch", "E_CLASS_MISMATCH"),
    ],
)
def test_known_faults(text, code):
    told = fault_of(RuntimeError(text))
    assert told is not None
    assert told.code == code


def test_an_unknown_fault_keeps_its_traceback():
    assert fault_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_only_a_companion_breaks_down_because_another_did(monkeypatch):
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")
    assert not is_a_consequence(lost)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert is_a_consequence(lost)
    assert not is_a_consequence(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_job_of_an_array_is_queued_by_its_own_number(monkeypatch):
    asked = []
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: asked.append(words) or subprocess.CompletedProcess(words, 0, "", "")
    )
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "18")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    requeue()
    assert asked == [["scontrol", "requeue", "18_2"]]


def test_a_queue_that_refuses_is_told(monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1, "", "Job/step already completing")
    )
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    with pytest.warns(ProbsegWarning, match="W_REQUEUE: scontrol requeue 20 failed.*already completing"):
        requeue()
    monkeypatch.setenv("SLURM_JOB_ID", "20; rm -rf /")
    with pytest.warns(ProbsegWarning, match="W_REQUEUE: SLURM has given no number"):
        requeue()
