"""What Lightning and its libraries say of small data and of one another, which is not for users."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_advice"]

_IDLE = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory.*",
    ".*Experiment logs directory.*",
    ".*args parameter is intended.*",
    ".*sync_dist=True.*",  # figures are computed of the statistics of all processes, and repeats are dropped
    ".*Using `DistributedSampler`.*",
    ".*treespec, LeafSpec.*",
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS.*",
    r"(?s).*v5\.0\.0.*",  # jsonargparse to Lightning, of names that change in its version 5
)


@contextmanager
def without_advice() -> Iterator[None]:
    """Within this block it is not said."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _IDLE:
            warnings.filterwarnings("ignore", message=message)
        yield
