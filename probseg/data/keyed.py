"""Random numbers that depend on what they are for, and on nothing that was drawn before."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["key", "seeded", "start_from"]


def key(*path: int) -> int:
    """A seed for one purpose; every path of integers has its own, and neighbours have nothing in common.

    Args:
        path: for example the seed of the run, a number for the purpose, the number of the step.

    Returns:
        An integer from 0 to below 2**63.
    """
    packed = struct.pack(f"<{len(path)}q", *((part + 2**63) % 2**64 - 2**63 for part in path))
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 1


def start_from(seed: int) -> None:
    """Global random numbers of torch on every device, of NumPy and of Python start from ``seed``."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the above formats the call stack for every kind of device, though there is none
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # what transforms and losses of others may draw from
    random.seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this block global random numbers on the CPU start from ``seed``; afterwards they go on as if unused."""
    of_torch, of_python = torch.get_rng_state(), random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)
