"""What torch and Lightning say when a training breaks down, in one line of ours."""

from __future__ import annotations

import re

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from probseg.errors import ProbsegError

__all__ = ["fault_of", "is_a_consequence", "is_first_process"]

_GO_ON = "then go on with --resume"
_IN_WORKER = re.compile(r"ProbsegError: (E_[A-Z_]+): (.*)")
_WORKER_DIED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([^.]*)|exited)")
_WORKER_HANGS = re.compile(r"DataLoader timed out after ([\d.]+) seconds")
_OTHER_WEIGHTS = re.compile(r"Error\(s\) in loading state_dict")
_COMPANION_LOST = re.compile(r"Connection (?:closed|reset) by peer|Broken pipe|Application timeout caused pair closure")


def fault_of(error: BaseException) -> ProbsegError | None:
    """The error to tell the user; None where it is unknown, and a traceback helps more.

    Args:
        error: what was raised out of a training, validation, test or prediction.
    """
    text = str(error)
    if raised := _IN_WORKER.search(text):  # torch brings errors of loader processes back as text
        return ProbsegError(raised[1], raised[2])
    if died := _WORKER_DIED.search(text):
        how = f"was killed ({died[2].strip()})" if died[2] else "ended"
        return ProbsegError(
            "E_LOADER_DIED",
            f"the loader process {died[1]} {how}, often because memory ran out; lower data.num_workers, {_GO_ON}",
        )
    if hangs := _WORKER_HANGS.search(text):
        return ProbsegError(
            "E_LOADER_HANGS",
            f"a loader process gave no batch within {hangs[1]} s; look at the disk of the data or raise "
            f"data.worker_timeout_s, {_GO_ON}",
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return ProbsegError(
            "E_COMPILE", f"the network cannot be compiled; leave --compile out: {' '.join(text.split())[:200]}"
        )
    if _OTHER_WEIGHTS.search(text):
        return ProbsegError(
            "E_CLASS_MISMATCH", "the weights of the checkpoint do not fit the model; its family or widths differ"
        )
    return None


def is_first_process() -> bool:
    """Whether this process of several is the one that tells and writes."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def is_a_consequence(error: BaseException) -> bool:
    """Whether this process of several broke down only because another did, which tells why."""
    return not is_first_process() and bool(_COMPANION_LOST.search(str(error)))
