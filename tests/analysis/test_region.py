import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis import region as region_module
from probseg.analysis.region import bounding_box, combination_region, dilated, foreground, union_box, union_region
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet


def test_five_pixels_without_spacing():
    mask = np.zeros((15, 15), dtype=bool)
    mask[7, 7] = True
    grown = dilated(mask)
    rows, columns = np.indices(mask.shape)
    np.testing.assert_array_equal(grown, (rows - 7) ** 2 + (columns - 7) ** 2 <= 25)


def test_five_millimetres_are_fewer_thick_slices():
    mask = np.zeros((5, 21, 21), dtype=bool)
    mask[2, 10, 10] = True
    grown = dilated(mask, (5.0, 0.5, 1.0))
    assert grown[:, 10, 10].tolist() == [False, True, True, True, False]
    assert np.flatnonzero(grown[2, :, 10]).tolist() == list(range(0, 21))
    assert np.flatnonzero(grown[2, 10, :]).tolist() == list(range(5, 16))
    # one slice away only the axis itself is left
    assert grown[1].sum() == 1


def test_cropping_changes_nothing():
    rng = np.random.default_rng(0)
    from scipy import ndimage

    mask = rng.random((30, 40)) > 0.995
    whole = ndimage.distance_transform_edt(~mask, sampling=(0.7, 1.3)) <= 5.0
    np.testing.assert_array_equal(dilated(mask, (0.7, 1.3)), whole)


def test_nothing_drawn_is_no_region():
    masks, prediction = np.zeros((2, 4, 4), int), np.zeros((4, 4), int)
    assert not union_region(masks, prediction, 2).any()
    assert bounding_box(prediction > 0) is None


def test_foreground_is_what_was_rated_and_is_a_class():
    masks = np.array([[1, 0, 2, 0], [0, 1, 3, 0]])
    assert foreground(masks, 3).tolist() == [True, True, True, False]
    assert foreground(masks, 2).tolist() == [True, True, False, False]
    rated = np.array([[False, True, True, True], [True, True, True, True]])
    assert foreground(masks, 3, rated).tolist() == [False, True, True, False]


def test_the_prediction_belongs_to_the_region():
    masks, prediction = np.zeros((1, 30), int), np.zeros(30, int)
    masks[0, 0], prediction[29] = 1, 1
    assert np.flatnonzero(union_region(masks, prediction, 2)).tolist() == [*range(6), *range(24, 30)]


SHAPES = st.sampled_from([(9,), (16,), (5, 8), (3, 7), (4, 3, 16), (4, 5, 6), (2, 3, 4, 8), (0, 4), (3, 0)])


@given(st.data(), SHAPES, st.sampled_from([bool, np.uint8, np.int8, np.int16, np.float64]))
def test_the_box_is_the_smallest(data, shape, dtype):
    sparse = hnp.arrays(np.int8, shape, elements=st.sampled_from([0] * 9 + [1]), fill=st.just(np.int8(0)))
    mask = data.draw(sparse).astype(dtype)
    places = np.nonzero(mask)
    expected = tuple(slice(p.min(), p.max() + 1) for p in places) if len(places[0]) else None
    assert bounding_box(mask) == expected
    assert bounding_box(np.asfortranarray(mask)) == expected
    turned = bounding_box(mask.T)
    assert turned == (None if expected is None else expected[::-1])


def test_large_volumes_are_looked_at_from_both_ends(monkeypatch):
    seen = []
    holding = region_module._holding

    def watched(parts):
        seen.append(parts.shape)
        return holding(parts)

    monkeypatch.setattr(region_module, "_holding", watched)
    monkeypatch.setattr(region_module, "_AT_ONCE", 4 * 64 * 64)
    volume = np.zeros((40, 64, 64), np.int16)  # no bytes
    volume[17:22, 5:9, 60:63] = 7
    bytes_ = (volume > 0).astype(np.uint8)
    for mask in (volume, bytes_, bytes_.astype(bool), np.asfortranarray(bytes_)):
        seen.clear()
        assert bounding_box(mask) == (slice(17, 22), slice(5, 9), slice(60, 63))
        # four at a time: 0-3 .. 16-19 from the front, 36-39 .. 20-23 from the back, then what lies between
        assert seen[:10] == [(4, 64, 64)] * 10
        assert all(len(shape) < 3 for shape in seen[10:])
    assert bounding_box(np.zeros((40, 64, 64), bool)) is None
    whole = np.ones((9, 64, 64), bool)
    seen.clear()
    assert bounding_box(whole) == (slice(0, 9), slice(0, 64), slice(0, 64))
    assert seen[:2] == [(4, 64, 64)] * 2


def test_the_box_of_several():
    assert union_box([]) is None
    assert union_box([None]) is None
    several = [(slice(2, 4), slice(0, 1)), None, (slice(3, 6), slice(5, 6))]
    assert union_box(several) == (slice(2, 6), slice(0, 6))


def test_regions_are_declared_by_name():
    labels = LabelSet(
        (LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "lesion")),
        (LabelGroup("thorax", ("lung", "lesion"), value=7), LabelGroup("rest", ("background", "lung"), value=8)),
        unknown=9,
    )  # dense: 0, 1, 2, 3 thorax, 4 rest, 5 unknown, 6 not rated
    raters = np.array([[0, 1, 2, 3, 4, 5, 6, 6], [0, 0, 0, 0, 0, 0, 0, 1]])
    # what is certainly drawn: neither `rest`, which may be background, nor unknown
    assert combination_region(raters, labels).tolist() == [0, 1, 1, 1, 0, 0, 0, 1]
    assert combination_region(raters, labels, "whole").all()
    assert combination_region(raters, labels, "lung").tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert combination_region(raters, labels, "thorax").tolist() == [0, 1, 1, 1, 0, 0, 0, 1]
    with pytest.raises(ProbsegError, match=r"E_ARGUMENT: region 'brain' is none; the regions are union, whole, lung"):
        combination_region(raters, labels, "brain")
