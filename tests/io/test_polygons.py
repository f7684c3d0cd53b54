import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probseg.errors import ProbsegError
from probseg.io.polygons import boundary, fill, fill_lidc

SQUARE = [(1, 1), (1, 4), (4, 4), (4, 1)]


def text(mask):
    return ["".join(".#"[int(v)] for v in row) for row in mask]


def test_upper_and_left_edge_inside_lower_and_right_edge_outside():
    assert text(fill([SQUARE], (6, 6))) == ["......", ".###..", ".###..", ".###..", "......", "......"]


def test_triangle_by_hand():
    # The slanted edge runs through (1, 1), (2, 2), (3, 3); these lie on its right boundary and are outside.
    assert text(fill([[(0, 0), (4, 4), (4, 0)]], (5, 5))) == [".....", "#....", "##...", "###..", "....."]


def test_polygon_within_a_polygon_is_a_hole_whichever_way_it_turns():
    outer, inner = [(0, 0), (0, 5), (5, 5), (5, 0)], [(2, 2), (2, 4), (4, 4), (4, 2)]
    expected = ["#####", "#####", "##..#", "##..#", "#####"]
    assert text(fill([outer, inner], (5, 5))) == expected
    assert text(fill([outer, inner[::-1]], (5, 5))) == expected


def test_keyhole_joined_by_a_bridge_is_the_same_as_two_contours():
    outer, inner = [(0, 0), (0, 5), (5, 5), (5, 0)], [(2, 2), (2, 4), (4, 4), (4, 2)]
    keyhole = [*outer, outer[0], *inner, inner[0]]
    assert np.array_equal(fill([keyhole], (6, 6)), fill([outer, inner], (6, 6)))


def test_stroke_round_itself_twice_has_no_hole_by_nonzero():
    twice = [*SQUARE, *SQUARE]
    assert not fill([twice], (6, 6)).any()
    assert np.array_equal(fill([twice], (6, 6), "nonzero"), fill([SQUARE], (6, 6)))


def test_cut_off_at_the_border_of_the_image():
    assert text(fill([[(-3, -3), (-3, 2), (2, 2), (2, -3)]], (3, 3))) == ["##.", "##.", "..."]
    assert fill([[(-9, -9), (-9, 99), (99, 99), (99, -9)]], (3, 3)).all()


def test_what_has_no_area_is_empty():
    assert not fill([[], [(1, 1)], [(1, 1), (3, 3)], [(1, 1), (3, 3), (1, 1)]], (5, 5)).any()


def test_lidc_contour_pixels_are_outside():
    ring = [(1, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 3), (4, 2), (3, 1), (2, 1)]
    assert text(fill_lidc(ring, (6, 6))) == ["......", "......", "..##..", "..##..", "......", "......"]
    assert text(boundary(SQUARE, (5, 5))) == [".....", ".####", ".#..#", ".#..#", ".####"]
    assert not fill_lidc([(2, 2)], (5, 5)).any()


def test_faults_are_named():
    for bad in ([(0, 0), (1, np.nan), (2, 2)], [(0, 0), (1, 1e300), (2, 2)], [(0, 0, 0)], [1, 2, 3]):
        with pytest.raises(ProbsegError, match="E_BAD_CONTOUR"):
            fill([bad], (4, 4))
    with pytest.raises(ProbsegError, match="whole-numbered"):
        fill_lidc([(0, 0), (1.5, 2), (3, 3)], (4, 4))


def inside(points, row, column):
    """Ray to the left of one centre, crossings with exact rational arithmetic."""
    crossings = 0
    for (r0, c0), (r1, c1) in zip(points, points[1:] + points[:1], strict=True):
        if (r0 <= row) != (r1 <= row):
            # crossing <= column, multiplied out with the sign of the height
            left = (row - r0) * (c1 - c0) - (column - c0) * (r1 - r0)
            crossings += left <= 0 if r1 > r0 else left >= 0
    return crossings % 2 == 1


@given(st.lists(st.tuples(st.integers(-3, 14), st.integers(-3, 14)), min_size=3, max_size=9))
def test_agrees_with_exact_arithmetic_on_whole_points(points):
    expected = np.array([[inside(points, r, c) for c in range(11)] for r in range(12)])
    assert np.array_equal(fill([points], (12, 11)), expected)


@given(arrays(np.float64, (3, 2), elements=st.floats(-2, 12)), arrays(np.float64, 2, elements=st.floats(-2, 12)))
def test_neighbours_share_their_edge_without_overlap_or_gap(triangle, point):
    a, b, c = triangle
    parts = [fill([p], (10, 10)) for p in ([a, b, point], [b, c, point], [c, a, point])]
    assert np.array_equal(parts[0] ^ parts[1] ^ parts[2], fill([triangle], (10, 10)))
