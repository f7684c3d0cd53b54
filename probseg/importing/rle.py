"""Run lengths of masks as COCO and Label Studio write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["decode_brush", "decode_coco"]


def decode_coco(segmentation: Any, shape: tuple[int, int], what: str) -> NDArray[np.bool_]:
    """Runs of background and foreground by turns, down the columns: a list of numbers, or the compressed text of it.

    Args:
        segmentation: ``{"size": [rows, columns], "counts": [...] or "..."}``.
        shape: ``(rows, columns)`` of the image.
        what: names it in errors.

    Raises:
        ProbsegError: E_PARSE for runs that are none or do not fill the image, E_SHAPE_MISMATCH for another size.
    """
    try:
        size, counts = tuple(int(n) for n in segmentation["size"]), segmentation["counts"]
        if isinstance(counts, str):
            counts = list(_uncompressed(counts))
        runs = np.array(counts, dtype=np.int64)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ProbsegError("E_PARSE", f"{what} has a mask that is no run lengths of COCO") from error
    if size != shape:
        raise ProbsegError("E_SHAPE_MISMATCH", f"{what} has a mask of {size} pixels, but its image has {shape}")
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != shape[0] * shape[1]:
        raise ProbsegError("E_PARSE", f"{what} has run lengths that do not add up to its image of {shape} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape[::-1]).T


def _uncompressed(text: str) -> Iterator[int]:
    """Five bits a letter, lowest first, the sixth says that more follow (maskApi.c of the COCO API, rleFrString).

    From the fourth on numbers are differences to the one two before.
    """
    found: list[int] = []
    letters = iter(text)
    for letter in letters:
        value, shift = 0, 0
        while True:
            bits = ord(letter) - 48
            if not 0 <= bits < 64 or shift > 60:
                raise ValueError("no letter of compressed run lengths")
            value |= (bits & 0x1F) << shift
            shift += 5
            if not bits & 0x20:
                break
            letter = next(letters, "")
            if not letter:
                raise ValueError("compressed run lengths end in the middle of a number")
        if bits & 0x10:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        yield found[-1]


def decode_brush(rle: Any, shape: tuple[int, int], what: str) -> NDArray[np.bool_]:
    """The brush of Label Studio: an RGBA picture in packed runs; a pixel is drawn where its alpha is above 0.

    The stream has 32 bits for the count of values, 5 for their size less 1, four times 4 for the sizes of run lengths
    less 1; then for each run a bit whether it repeats one value, 2 bits for which of the four sizes its length has,
    the length less 1, and the value or values (rle-pack of thi.ng/umbrella, as label_studio_converter.brush reads it).

    Args:
        rle: list of bytes.
        shape: ``(rows, columns)`` of the image.
        what: names it in errors.

    Raises:
        ProbsegError: E_PARSE where the stream is none, breaks off, or holds another picture than four values a pixel.
    """
    broken = ProbsegError("E_PARSE", f"{what} has a brush mask that breaks off or does not fit its image of {shape}")
    try:
        bits = np.unpackbits(np.array(rle, dtype=np.uint8))
    except (TypeError, ValueError, OverflowError) as error:
        raise broken from error
    stream = _Bits(bits)
    try:
        count, word = stream.read(32), stream.read(5) + 1
        sizes = [stream.read(4) + 1 for _ in range(4)]
        if count != 4 * shape[0] * shape[1] or word > 16:
            raise broken
        values = np.zeros(count, dtype=np.uint16)
        done = 0
        while done < count:
            repeats = stream.read(1)
            length = stream.read(sizes[stream.read(2)]) + 1
            end = min(done + length, count)
            values[done:end] = stream.read(word) if repeats else stream.read_many(word, end - done)
            done = end
    except EOFError as error:
        raise broken from error
    return values.reshape(*shape, 4)[..., 3] > 0


class _Bits:
    """Numbers of any size from a row of bits, highest first."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self.bits = bits
        self.at = 0

    def read(self, size: int) -> int:
        return int(self.read_many(size, 1)[0])

    def read_many(self, size: int, count: int) -> NDArray[np.int64]:
        end = self.at + size * count
        if end > len(self.bits):
            raise EOFError
        rows = self.bits[self.at : end].reshape(count, size)
        self.at = end
        return rows @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))
