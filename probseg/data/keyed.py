"""Random numbers that depend on what they are for, and on nothing that was drawn before."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["key", "seeded"]


def key(*path: int) -> int:
    """A seed for one purpose; every path of integers has its own, and neighbours have nothing in common.

    Args:
        path: for example the seed of the run, a number for the purpose, the number of the step.

    Returns:
        An integer from 0 to below 2**63.
    """
    packed = struct.pack(f"<{len(path)}q", *((part + 2**63) % 2**64 - 2**63 for part in path))
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this block torch's global random numbers on the CPU start from ``seed``; afterwards go on as if unused."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
