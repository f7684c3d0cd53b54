from __future__ import annotations

import pytest

from probseg.errors import ProbsegError
from probseg.inference.processes import processes_together

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
SRUN = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "6", "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3"}
BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "6"}


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "expected"),
    [
        (None, None, {}, (1, 1)),
        (3, None, {}, (3, 1)),
        (2, 2, {}, (2, 2)),
        (None, None, TORCHRUN, (4, 2)),
        (4, 2, TORCHRUN, (4, 2)),
        (None, None, SRUN, (2, 3)),
        (None, None, BATCH_SCRIPT, (1, 1)),
        (None, None, {**BATCH_SCRIPT, "SLURM_STEP_NUM_TASKS": "1"}, (1, 1)),
    ],
)
def test_how_many(devices: int | None, nodes: int | None, environment: dict[str, str], expected: tuple[int, int]):
    assert processes_together(devices, nodes, environment) == expected


@pytest.mark.parametrize(
    ("devices", "nodes", "environment"), [(0, None, {}), (1, 0, {}), (2, None, TORCHRUN), (None, 1, SRUN)]
)
def test_numbers_that_cannot_be(devices: int | None, nodes: int | None, environment: dict[str, str]):
    with pytest.raises(ProbsegError, match="E_USAGE"):
        processes_together(devices, nodes, environment)
