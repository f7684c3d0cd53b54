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


def unpacked(plane: np.ndarray, window: tuple[int, int, int, int] | None = None, before: bytes = b"") -> np.ndarray:
    row, data = pack(plane, len(before))
    r0, r1, c0, c1 = window or (0, plane.shape[0], 0, plane.shape[1])
    out = np.zeros((r1 - r0, c1 - c0), np.uint8)
    unpack(row, np.frombuffer(before + data + b"\xff", np.uint8), out, r0, c0)
    return out


def test_two_labels_take_one_bit_in_the_box_that_they_fill() -> None:
    plane = np.zeros((6, 12), np.uint8)
    plane[2, 1:11] = 5
    plane[3, 1] = 5  # box rows 2 to 4, columns 1 to 11: ten voxels a row are two bytes
    row, data = pack(plane, 100)
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "offset": 100,
        "size": 4,
        "first_row": 2,
        "end_row": 4,
        "first_column": 1,
        "end_column": 11,
        "depth": 1,
        "low": 0,
        "high": 5,
    }
    assert list(data) == [0b11111111, 0b11, 0b1, 0]


@pytest.mark.parametrize(("highest", "depth"), [(0, 0), (2, 2), (3, 2), (4, 4), (15, 4), (16, 8)])
def test_more_labels_take_more_bits(highest: int, depth: int) -> None:
    plane = (np.arange(400, dtype=np.uint8).reshape(20, 20) % (highest + 1)).astype(np.uint8)
    plane[0, 0] = plane[-1, -1] = highest
    row, data = pack(plane)
    assert row[6] == depth
    if depth in (2, 4):
        assert len(data) == plane.size * depth // 8


def test_a_box_of_one_label_takes_no_byte() -> None:
    plane = np.zeros((9, 9), np.uint8)
    plane[1:3, 4:9] = 9
    assert pack(plane)[1] == b""
    assert (unpacked(plane) == plane).all()


@given(PLANES)
def test_a_plane_comes_back(plane: np.ndarray) -> None:
    assert (unpacked(plane, before=b"abc") == plane).all()


@given(PLANES, st.data())
def test_a_window_is_that_part_of_the_plane(plane: np.ndarray, data: st.DataObject) -> None:
    r0, c0 = (data.draw(st.integers(0, n - 1)) for n in plane.shape)
    r1, c1 = (data.draw(st.integers(a + 1, n)) for a, n in zip((r0, c0), plane.shape, strict=True))
    assert (unpacked(plane, (r0, r1, c0, c1)) == plane[r0:r1, c0:c1]).all()


@given(hnp.arrays(np.uint8, (16, 16), elements=st.integers(0, 15)))
def test_sixteen_labels_never_take_more_than_half(plane: np.ndarray) -> None:
    assert len(pack(plane)[1]) <= plane.size / 2
