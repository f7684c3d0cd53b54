"""Masks as bits, sixty-four voxels a word: what two masks share is then a count of bits.

Whole numbers throughout, so that counts are exact for images of any size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["common", "pack_equal", "sizes"]

# Bytes that are compared at once and words that pairs are made of at once, so that both stay in the processor's cache.
_COMPARED = 1 << 21
_TILE = 1 << 17
# The bits of so many words are counted in 16 bits.
_WORDS = 256


def pack_equal(labels: NDArray, value: int) -> NDArray[np.uint64]:
    """Where maps have a label, as bits: ``(n, voxels)`` to ``(n, words)``; what is left of the last word is 0.

    Example:
        >>> sizes(pack_equal(np.array([[1, 0, 1], [0, 0, 0]]), 1)).tolist()
        [2, 0]
    """
    n, voxels = labels.shape
    packed = np.zeros((n, -(-voxels // 64) * 8), dtype=np.uint8)
    step = max(1, _COMPARED // max(1, 64 * n)) * 64
    member = np.empty((n, min(step, voxels)), dtype=bool)
    for start in range(0, voxels, step):
        part = labels[:, start : start + step]
        bits = np.packbits(np.equal(part, value, out=member[:, : part.shape[1]]), axis=1)
        packed[:, start // 8 : start // 8 + bits.shape[1]] = bits
    return packed.view(np.uint64)


def sizes(masks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """``(n,)``: how many voxels each mask of `pack` holds."""
    return np.bitwise_count(masks).sum(axis=1, dtype=np.int64)


def common(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many voxels each mask of ``a`` shares with each of ``b``: ``(n, m)``.

    Args:
        a: ``(n, words)`` of `pack`.
        b: ``(m, words)``; the same object as ``a`` costs half, as the matrix is symmetric.
    """
    alike = a is b
    shared = np.zeros((len(a), len(b)), dtype=np.int64)
    # Most words are alike for all of one side: nobody's outside of lesions, and everybody's inside.
    any_a, any_b = np.bitwise_or.reduce(a, axis=0), np.bitwise_or.reduce(b, axis=0)
    certain = (any_a == np.bitwise_and.reduce(a, axis=0)) & (any_b == np.bitwise_and.reduce(b, axis=0))
    shared += np.bitwise_count((any_a & any_b)[certain]).sum(dtype=np.int64)
    used = np.flatnonzero(((any_a & any_b) != 0) & ~certain)
    words = min(_WORDS, max(1, len(used)))
    rows = min(len(a), max(1, _TILE // max(1, len(b) * words)))
    bits, counts = (np.empty(rows * len(b) * words, dtype=kind) for kind in (np.uint64, np.uint8))
    for start in range(0, len(used), words):
        part = used[start : start + words]
        x = a[:, part]
        y = x if alike else b[:, part]
        for i in range(0, len(a), rows):
            first = i if alike else 0  # of a symmetric matrix the upper half, and a little of the lower
            left, right = x[i : i + rows, None], y[first:]
            shape = (len(left), *right.shape)
            size = math.prod(shape)
            both = np.bitwise_and(left, right, out=bits[:size].reshape(shape))
            counted = np.bitwise_count(both, out=counts[:size].reshape(shape))
            shared[i : i + rows, first:] += counted.sum(axis=2, dtype=np.uint16)
    if alike:
        upper = np.triu(shared, 1)
        return upper + upper.T + np.diag(np.diag(shared))
    return shared
