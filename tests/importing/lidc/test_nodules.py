"""Which drawings are one nodule, and what a drawing encloses: worked by hand."""

from __future__ import annotations

import numpy as np

from probseg.importing.lidc.nodules import Contour, Drawing, Scan, box, cluster, draw, place


def square(slice_, row, column, size=4, inclusion=True):
    """The outline of a square of ``size`` pixels, of which the inner ``size - 2`` are enclosed."""
    last = size - 1
    edge = [(0, k) for k in range(last)] + [(k, last) for k in range(last)]
    edge += [(last, last - k) for k in range(last)] + [(last - k, 0) for k in range(last)]
    return Contour(slice_, np.add(edge, (row, column)), inclusion)


def scan(*drawings, thickness=2.0):
    return Scan("p", thickness, (0.5, 0.5), np.arange(20) * 1.0, drawings)


def grouped(found, drawings):
    return [[drawings.index(d) for d in part] for part in found]


def test_drawings_within_the_slice_thickness_are_one_nodule():
    # columns 0..3 and 8..11: 5 pixels of 0.5 mm between, 2.5 mm; with 7 between, 3.5 mm
    a, b, c = (Drawing((square(3, 0, column),)) for column in (0, 8, 18))
    assert grouped(cluster(scan(a, b, c)), [a, b, c]) == [[0], [1], [2]]
    assert grouped(cluster(scan(a, b, c, thickness=2.5)), [a, b, c]) == [[0, 1], [2]]
    assert grouped(cluster(scan(a, b, c, thickness=3.5)), [a, b, c]) == [[0, 1, 2]]


def test_distance_counts_along_the_scan_in_mm():
    a, b = Drawing((square(3, 0, 0),)), Drawing((square(5, 0, 0),))
    assert len(cluster(scan(a, b, thickness=1.9))) == 2
    assert len(cluster(scan(a, b, thickness=2.0))) == 1


def test_more_than_four_are_taken_apart_by_a_smaller_distance():
    # Two nodules 2.5 mm apart, four drawings of one and two of the other: apart at 2.5 x 0.9 mm.
    drawings = [Drawing((square(3, 0, 0),)) for _ in range(4)] + [Drawing((square(3, 0, 8),)) for _ in range(2)]
    assert grouped(cluster(scan(*drawings, thickness=2.5)), drawings) == [[0, 1, 2, 3], [4, 5]]
    assert [len(c) for c in cluster(scan(*drawings[:2], *drawings[4:], thickness=2.5))] == [4]


def test_what_touches_cannot_be_taken_apart():
    drawings = [Drawing((square(3, 0, 0),)) for _ in range(5)]
    assert [len(c) for c in cluster(scan(*drawings))] == [5]
    assert cluster(scan()) == []


def test_contour_is_outside_and_exclusions_cut():
    drawing = Drawing((square(1, 2, 2, 3, inclusion=False), square(1, 0, 0, 7), square(2, 1, 1, 4)))
    found = place([drawing], (20, 512, 512), (1, 1, 1))
    assert found == (slice(0, 4), slice(0, 8), slice(0, 8))
    mask = draw(drawing, found)
    expected = np.zeros((4, 8, 8), np.uint8)
    expected[1, 1:6, 1:6] = 1
    expected[1, 3, 3] = 0  # of the exclusion only what it encloses
    expected[2, 2:4, 2:4] = 1
    assert np.array_equal(mask, expected)
    low, high = box([drawing])
    assert low.tolist() == [1, 0, 0] and high.tolist() == [2, 6, 6]


def test_two_parts_in_one_slice_are_both_kept():
    drawing = Drawing((square(0, 0, 0, 3), square(0, 0, 5, 3)))
    assert draw(drawing, place([drawing], (1, 3, 8), (0, 0, 0)))[0].sum(axis=0).tolist() == [0, 1, 0, 0, 0, 0, 1, 0]
