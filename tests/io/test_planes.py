from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.io.planes import COLUMNS, pack, unpack

PLANES = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=21),
    elements=st.sampled_from([0, 1, 2, 3, 7, 15, 16, 200, 255]),
)


def unpacked(
    plane: np.ndarray, window: tuple[int, int, int, int] | None = None, words: int = 0, small: bool = False
) -> np.ndarray:
    row, data = pack(plane, 8 * words, small)
    r0, r1, c0, c1 = window or (0, plane.shape[0], 0, plane.shape[1])
    out = np.zeros((r1 - r0, c1 - c0), np.uint8)
    unpack(row, np.frombuffer(bytes(8 * words) + data + b"\xff", np.uint8), out, r0, c0)
    return out


def test_two_labels_take_one_bit_in_the_box_that_they_fill() -> None:
    plane = np.zeros((6, 22), np.uint8)
    plane[2, 9:19] = 5
    plane[3, 9] = 5  # rows 2 to 4; columns 9 to 19, widened to words of eight: 8 to 22, two bytes a row
    row, data = pack(plane, 96)
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "offset": 96,
        "size": 8,
        "first_row": 2,
        "end_row": 4,
        "first_column": 8,
        "end_column": 22,
        "depth": 1,
        "low": 0,
        "high": 5,
    }
    assert list(data) == [0b11111110, 0b111, 0b10, 0, 0, 0, 0, 0]


def test_three_labels_take_two_bits_in_four_bands() -> None:
    plane = np.zeros((4, 8), np.uint8)
    plane[:, 0] = [3, 2, 1, 0]
    plane[:, 7] = [0, 0, 0, 1]
    row, data = pack(plane)
    assert row[2:] == (0, 4, 0, 8, 2, 0, 3)
    assert list(data) == [3 | 2 << 2 | 1 << 4 | 0 << 6, 0, 0, 0, 0, 0, 0, 1 << 6]


@pytest.mark.parametrize(("highest", "depth"), [(0, 0), (2, 2), (3, 2), (4, 4), (15, 4), (16, 8)])
def test_more_labels_take_more_bits(highest: int, depth: int) -> None:
    plane = (np.arange(24 * 24) % (highest + 1)).astype(np.uint8).reshape(24, 24)
    row, data = pack(plane)
    assert row[6] == depth
    if depth in (2, 4):
        assert len(data) == plane.size * depth // 8
        assert pack(plane, small=True)[0][6] == (2 if depth == 2 else 8)


def test_a_box_of_one_label_takes_no_byte() -> None:
    plane = np.zeros((9, 9), np.uint8)
    plane[1:3, 4:9] = 9
    assert pack(plane)[1] == b""
    assert (unpacked(plane) == plane).all()


@given(PLANES)
def test_a_plane_comes_back(plane: np.ndarray) -> None:
    for small in (False, True):
        assert (unpacked(plane, words=3, small=small) == plane).all()


@given(PLANES, st.data())
def test_a_window_is_that_part_of_the_plane(plane: np.ndarray, data: st.DataObject) -> None:
    r0, c0 = (data.draw(st.integers(0, n - 1)) for n in plane.shape)
    r1, c1 = (data.draw(st.integers(a + 1, n)) for a, n in zip((r0, c0), plane.shape, strict=True))
    assert (unpacked(plane, (r0, r1, c0, c1)) == plane[r0:r1, c0:c1]).all()


@given(hnp.arrays(np.uint8, (16, 16), elements=st.integers(0, 15)))
def test_sixteen_labels_never_take_more_than_half(plane: np.ndarray) -> None:
    assert len(pack(plane)[1]) <= plane.size / 2
