import numpy as np

from probseg.analysis.region import bounding_box, dilated, foreground, union_region


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
