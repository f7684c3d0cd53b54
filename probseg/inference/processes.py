"""How many processes predict together, asked for or told by what started them."""

from __future__ import annotations

from collections.abc import Mapping

from probseg.errors import ProbsegError

__all__ = ["processes_together"]


def processes_together(devices: int | None, nodes: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Processes a machine, and machines.

    torchrun and srun start the processes themselves and say how many. A batch script of SLURM outside of srun is one
    process, however many tasks its job has.

    Args:
        devices: asked for, each with a process of its own; None for 1, or what the environment says.
        nodes: machines asked for; None for 1, or what the environment says.
        environment: variables of the process.

    Raises:
        ProbsegError: E_USAGE where other numbers were started than are asked for, or none.
    """
    if (devices is not None and devices < 1) or (nodes is not None and nodes < 1):
        raise ProbsegError("E_USAGE", "--devices and --nodes must be at least 1")
    started = _started(environment)
    if started is None:
        return devices or 1, nodes or 1
    by, local, machines = started
    if (devices or local) != local or (nodes or machines) != machines:
        raise ProbsegError(
            "E_USAGE",
            f"{by} started {local} processes on each of {machines} machines, but --devices is {devices or local} and "
            f"--nodes {nodes or machines}; leave them out",
        )
    return local, machines


def _started(environment: Mapping[str, str]) -> tuple[str, int, int] | None:
    if "TORCHELASTIC_RUN_ID" in environment:
        local = int(environment["LOCAL_WORLD_SIZE"])
        return "torchrun", local, int(environment["WORLD_SIZE"]) // local
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        machines = int(environment.get("SLURM_STEP_NUM_NODES", 1))
        return "srun", int(environment["SLURM_STEP_NUM_TASKS"]) // machines, machines
    return None
