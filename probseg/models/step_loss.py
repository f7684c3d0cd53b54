"""The losses of a step over all its devices; one that is no number ends the training before it spoils the weights."""

from __future__ import annotations

import statistics

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from probseg.batch import Batch
from probseg.errors import ProbsegError

__all__ = ["over_devices", "require_finite_loss"]


def require_finite_loss(loss: Tensor, batch: Batch, trainer: Trainer | None) -> None:
    """Look at the loss of a step before its gradient is taken; all devices of a step fail together.

    Raises:
        ProbsegError: E_NONFINITE_LOSS with the step and its cases, only those whose image is at fault if any is.
    """
    bad = not bool(torch.isfinite(loss))
    several = trainer is not None and trainer.world_size > 1
    if several:
        assert trainer is not None
        anywhere = trainer.strategy.reduce_boolean_decision(bad, all=False)
    else:
        anywhere = bad
    if not anywhere:
        return
    told: list[tuple[float, list[str]]] = [(float(loss), _suspects(batch) if bad else [])]
    if several:
        told = _gathered(told[0])
    value = next(value for value, cases in told if cases)
    cases = ", ".join(sorted({case for _, found in told for case in found}))
    step = 0 if trainer is None else trainer.global_step
    raise ProbsegError(
        "E_NONFINITE_LOSS",
        f"the loss of step {step} is {value} on {cases}; look at these cases with probseg check, or begin with a lower "
        "learning rate from the last checkpoint, which is from before (--model.init_args.warm_start)",
    )


def over_devices(terms: dict[str, float]) -> dict[str, float]:
    """The mean of every term over the devices of a step that have it, for the log; all must call it together."""
    told: list[dict[str, float]] = [terms] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(told, terms)
    names = sorted(set().union(*told))
    return {name: statistics.fmean(t[name] for t in told if name in t) for name in names}


def _suspects(batch: Batch) -> list[str]:
    finite = torch.isfinite(batch.image).flatten(1).all(dim=1).tolist()
    faulty = [case for case, good in zip(batch.case_ids, finite, strict=True) if not good]
    return faulty or list(batch.case_ids)


def _gathered(own: tuple[float, list[str]]) -> list[tuple[float, list[str]]]:
    told: list[tuple[float, list[str]]] = [own] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(told, own)
    return told
