"""Run lengths worked by hand, against the encoders that their formats describe."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probseg.errors import ProbsegError
from probseg.importing.rle import decode_brush, decode_coco


def test_coco_runs_go_down_the_columns():
    # 3 rows, 4 columns; 4 background, 2 foreground, 5 background, 1 foreground
    mask = decode_coco({"size": [3, 4], "counts": [4, 2, 5, 1]}, (3, 4), "x")
    assert mask.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1]]
    assert decode_coco({"size": [1, 2], "counts": [0, 2]}, (1, 2), "x").all()


def test_coco_compressed_text():
    # 4 -> '4', 2 -> '2', 5 -> '5', then 1 - 2 = -1 -> 31 = 'O'
    mask = decode_coco({"size": [3, 4], "counts": "425O"}, (3, 4), "x")
    assert np.array_equal(mask, decode_coco({"size": [3, 4], "counts": [4, 2, 5, 1]}, (3, 4), "x"))
    # 40 = 8 + 1 x 32: 8 with 'more follows' is 40 -> 'X', then 1 -> '1'; the rest is 24 -> 24 needs bit 5 clear: 'h0'
    mask = decode_coco({"size": [8, 8], "counts": "X1h0"}, (8, 8), "x")
    assert mask.sum() == 24 and not mask[:, :5].any() and mask[:, 5:].all()


def compressed(counts):
    text = ""
    for k, count in enumerate(counts):
        value = count - (counts[k - 2] if k > 2 else 0)
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr(48 + (bits | 0x20 if more else bits))
            if not more:
                break
    return text


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_both_coco_forms_come_back(mask):
    counts = [len(list(run)) for _, run in groupby(mask.T.ravel())]
    counts = [0, *counts] if mask.T.ravel()[0] else counts
    size = list(mask.shape)
    assert np.array_equal(decode_coco({"size": size, "counts": counts}, mask.shape, "x"), mask)
    assert np.array_equal(decode_coco({"size": size, "counts": compressed(counts)}, mask.shape, "x"), mask)


def packed(values, literal=()):
    """Runs of 3, 4, 8 or 16 bits of length; a run whose number is in ``literal`` is written value by value."""
    sizes = (3, 4, 8, 16)
    text = f"{len(values):032b}{7:05b}" + "".join(f"{s - 1:04b}" for s in sizes)
    for number, (value, run) in enumerate(groupby(values)):
        left = len(list(run))
        while left:
            part = min(left, 1 << 16)
            which = next(k for k, s in enumerate(sizes) if part <= 1 << s)
            head = f"{which:02b}{part - 1:0{sizes[which]}b}"
            text += f"0{head}" + f"{value:08b}" * part if number in literal else f"1{head}{value:08b}"
            left -= part
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]


def test_brush_by_hand():
    # One row of two pixels, the second drawn: values 0 0 0 0 9 9 9 255 as runs of 4 zeros, 3 nines, one literal 255.
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "1" + "00" + "011" + "00000000"
    bits += "1" + "00" + "010" + "00001001" + "0" + "00" + "000" + "11111111"
    bits += "0" * (-len(bits) % 8)
    stream = [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert decode_brush(stream, (1, 2), "x").tolist() == [[False, True]]


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.sets(st.integers(0, 9)))
def test_brush_comes_back(mask, literal):
    values = [int(v) * 255 for v in mask.ravel() for _ in range(4)]
    assert np.array_equal(decode_brush(packed(values, literal), mask.shape, "x"), mask)


def test_faults():
    for wrong in (
        {},
        {"size": [2, 2], "counts": "é"},
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": "X"},
    ):
        with pytest.raises(ProbsegError, match="E_PARSE"):
            decode_coco(wrong, (2, 2), "x")
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        decode_coco({"size": [2, 3], "counts": [6]}, (2, 2), "x")
    good = packed([0] * 8)
    for stream in (good[:8], [], [300], None, packed([0] * 12)):
        with pytest.raises(ProbsegError, match="E_PARSE"):
            decode_brush(stream, (1, 2), "x")
