"""Half precision where the hardware has it, single precision where it would only be slower."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["usable_precision"]


def usable_precision(asked: Any, accelerator: Any) -> Any:
    """The precision to train with: as asked, but ``32-true`` instead of bfloat16 on hardware without it.

    A processor without instructions for bfloat16 computes it by detours: a training step takes several times as long.

    Args:
        asked: ``trainer.precision``.
        accelerator: ``trainer.accelerator``.
    """
    if not str(asked).startswith("bf16") or not isinstance(accelerator, str):
        return asked
    on_cuda = accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available())
    if on_cuda:
        return asked if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        return asked if _processor_has_bf16() else "32-true"
    return asked


def _processor_has_bf16() -> bool:
    """What torch's own convolutions ask before they take bfloat16."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
