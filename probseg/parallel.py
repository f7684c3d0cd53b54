"""The same task for many items, in this process or in several; results come back in the order of the items."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from probseg.errors import ProbsegError

__all__ = ["spread"]

Result = TypeVar("Result")


def spread(task: Callable[..., Result], items: Iterable[tuple[Any, ...]], jobs: int | None = 1) -> Iterator[Result]:
    """Call ``task`` with each tuple of arguments.

    Args:
        task: what every process can be sent.
        items: the arguments of each call; read as they are needed.
        jobs: processes, -1 for as many as there are cores. None is what an enclosing ``joblib.parallel_config`` says,
            and this process alone where nothing does; so any backend of joblib serves.

    Raises:
        ProbsegError: E_ARGUMENT for no jobs, E_WORKER_DIED where a process did not survive; whatever the task raises.
    """
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if jobs == 0:
        raise ProbsegError("E_ARGUMENT", "jobs must be the number of processes, or -1 for one a core, but is 0")
    # Asked for nothing, joblib says 1 unless somebody configured it.
    pool = joblib.Parallel(n_jobs=jobs, return_as="generator")
    if pool.n_jobs == 1:
        yield from (task(*item) for item in items)
        return
    try:
        yield from pool(joblib.delayed(_from)(Path.cwd(), task, *item) for item in items)
    except BrokenProcessPool as error:
        raise ProbsegError(
            "E_WORKER_DIED",
            "a process was killed while it worked on a case, perhaps for want of memory; use fewer jobs",
        ) from error


def _from(folder: Path, task: Callable[..., Result], *item: Any) -> Result:
    """The task in a folder: joblib's processes outlive a call, and remain in the folder in which they were started."""
    if Path.cwd() != folder:
        os.chdir(folder)
    return task(*item)
