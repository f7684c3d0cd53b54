"""One pass over all weights where an optimiser would make many."""

from __future__ import annotations

from torch.optim import Optimizer

__all__ = ["fuse_on_processor"]


def fuse_on_processor(optimizer: Optimizer) -> None:
    """Let an optimiser of torch that can update all weights in one pass do so on the processor.

    torch decides so by itself on GPUs only; on a processor it updates each weight by a dozen operations, which for a
    small network take as long as a layer. What the user decided (``fused`` or ``foreach``) stays.
    """
    for group in optimizer.param_groups:
        decided = group.get("fused", False) is not None or group.get("foreach") is not None
        if decided or group.get("differentiable"):
            continue
        if all(p.device.type == "cpu" and p.is_floating_point() for p in group["params"]):
            group["fused"] = True
