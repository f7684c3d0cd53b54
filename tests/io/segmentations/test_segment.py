import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.errors import ProbsegError
from probseg.io.segmentations import Segment, label_map


def segment(name, number, *voxels):
    mask = np.zeros((1, 1, 5), dtype=bool)
    mask[0, 0, list(voxels)] = True
    return Segment(name, number, mask)


def test_each_name_gets_its_value_and_several_may_share_one():
    segments = [segment("cyst", 1, 0), segment("nodule", 2, 2, 3), segment("cyst left", 9, 0, 4)]
    merged = label_map(segments, {"cyst": 7, "nodule": 300, "cyst left": 7, "absent": 2}, "the mask")
    assert merged.tolist() == [[[7, 0, 300, 300, 7]]]


def test_overlap_names_both_and_counts():
    segments = [segment("a", 1, 4), segment("b", 2, 1, 2, 3), segment("c", 3, 2, 3)]
    with pytest.raises(ProbsegError, match=r"E_OVERLAP: in the mask .*'b' and 'c' overlap in 2 voxels"):
        label_map(segments, {"a": 1, "b": 2, "c": 3}, "the mask")


def test_a_segment_without_a_label_is_refused_even_when_it_is_empty():
    with pytest.raises(ProbsegError, match=r"E_UNKNOWN_LABEL.*'b'.*known are a"):
        label_map([segment("a", 1, 0), segment("b", 2)], {"a": 1}, "the mask")


def test_no_segment_is_no_empty_mask():
    with pytest.raises(ProbsegError, match="E_NO_LABELS"):
        label_map([], {"a": 1}, "the mask")


def test_empty_segments_are_a_mask_of_background():
    assert_array_equal(label_map([segment("a", 1)], {"a": 1}, "the mask"), np.zeros((1, 1, 5)))
