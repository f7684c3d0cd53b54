"""Families whose predictions do not come from the weights that a method changes."""

from __future__ import annotations

from probseg.errors import ProbsegError
from probseg.models import SWAG, SegmentationModule, SnapshotEnsemble

__all__ = ["require_own_weights"]


def require_own_weights(model: SegmentationModule, method: str) -> None:
    """Refuse what predicts with weights that a whole training collected, and not with those that it holds now.

    Raises:
        ProbsegError: E_USAGE.
    """
    for part in model.modules():
        if isinstance(part, SWAG | SnapshotEnsemble):
            raise ProbsegError(
                "E_USAGE",
                f"{type(part).__name__} predicts with weights collected over a whole training, which {method} cannot "
                "change; take Recalibration, or train anew with --model.init_args.member.init_args.warm_start",
            )
