"""Label sets: a study's labels worked by hand, encode and decode as inverses, every refusal."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass", "#aabbcc", "SCT:50196008:Ground glass opacity"),
     LabelClass(6, "septal"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "septal", "solid"), value=20), LabelGroup("ground_glass", ("glass", "septal"))),
    unknown=255,
)  # fmt: skip


@st.composite
def label_sets(draw):
    count = draw(st.integers(2, 6))
    groups = draw(st.lists(st.sets(st.integers(1, count - 1), min_size=1), max_size=3))
    values = draw(st.lists(st.integers(0, 65535), min_size=count + 4, max_size=count + 4, unique=True))
    classes = tuple(LabelClass(values[k], f"class{k}") for k in range(count))
    named = tuple(
        LabelGroup(
            f"group{g}", tuple(f"class{k}" for k in sorted(members)), draw(st.sampled_from([None, values[count + g]]))
        )
        for g, members in enumerate(groups)
    )
    return LabelSet(classes, named, draw(st.sampled_from([None, values[-1]])))


# Hand-worked ----------------------------------------------------------------------------------------------------------


def test_dense_labels_are_classes_then_groups_with_a_value_then_unknown():
    assert LABELS.values == (0, 5, 6, 10, 20, 255)
    assert LABELS.num_classes == 4
    assert LABELS.names == ("background", "glass", "septal", "solid")
    assert LABELS.structures == ("glass", "septal", "solid", "opacity", "ground_glass")


def test_admissible_classes_of_each_label():
    assert LABELS.admissible.astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 1, 1, 1],  # opacity: any of the three
        [1, 1, 1, 1],  # unknown: anything
    ]


def test_membership_is_open_where_a_label_says_less_than_is_asked():
    assert LABELS.membership("opacity").tolist() == [0, 1, 1, 1, 1, -1]
    assert LABELS.membership("ground_glass").tolist() == [0, 1, 1, 0, -1, -1]
    assert LABELS.membership("solid").tolist() == [0, 0, 0, 1, -1, -1]
    assert LABELS.membership("background").tolist() == [1, 0, 0, 0, 0, -1]
    with pytest.raises(ProbsegError, match="E_UNKNOWN_LABEL: no class or group is called 'emphysema'"):
        LABELS.membership("emphysema")


def test_encode_names_values_and_counts():
    mask = np.array([[0, 5, 7], [7, 10, 11]])
    with pytest.raises(ProbsegError) as caught:
        LABELS.encode(mask, "the mask of rater 'A'")
    assert caught.value.code == "E_UNKNOWN_LABEL"
    assert "the mask of rater 'A' holds 7 (2 voxels), 11 (1 voxels)" in caught.value.message


@pytest.mark.parametrize("value", [-1, 7, 256, 65535, 65536, 2**40])
def test_a_value_that_is_not_declared_is_refused(value):
    with pytest.raises(ProbsegError, match=rf"E_UNKNOWN_LABEL: mask holds {value} \(1 voxels\)"):
        LABELS.encode(np.array([0, 5, value]))


def test_more_than_five_strange_values_are_counted():
    with pytest.raises(ProbsegError, match="and 3 more"):
        LABELS.encode(np.arange(100, 108))


def test_real_numbers_that_are_whole_are_accepted():
    for kind in (np.float32, np.float64):
        assert LABELS.encode(np.array([0.0, 10.0, 255.0], kind)).tolist() == [0, 3, 5]
    assert LabelSet.binary("x").encode(np.array([True, False])).tolist() == [1, 0]
    assert LABELS.encode(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("code", "mask"),
    [
        ("E_NONFINITE", np.array([0.0, np.nan])),
        ("E_NONFINITE", np.array([0.0, np.inf])),
        ("E_UNKNOWN_LABEL", np.array([0.0, 4.9999])),
        ("E_DTYPE", np.array([0j, 1])),
    ],
)
def test_masks_that_hold_no_labels(code, mask):
    with pytest.raises(ProbsegError, match=code):
        LABELS.encode(mask)


# Laws -----------------------------------------------------------------------------------------------------------------


@given(label_sets(), st.integers(0, 99))
def test_encode_and_decode_are_inverses(labels, seed):
    dense = np.random.default_rng(seed).integers(0, len(labels.values), (3, 4)).astype(np.uint8)
    values = labels.decode(dense)
    assert values.dtype == (np.uint8 if max(labels.values) < 256 else np.uint16)
    for kind in (values.dtype, np.int64, np.float64):
        assert_array_equal(labels.encode(values.astype(kind)), dense)


@given(label_sets())
def test_plain_types_and_yaml_bring_it_back(labels):
    assert LabelSet.from_dict(labels.to_dict()) == labels
    assert LabelSet.from_dict(yaml.safe_load(yaml.safe_dump(labels.to_dict()))) == labels


def test_colours_and_codes_come_back_too():
    assert LabelSet.from_dict(LABELS.to_dict()) == LABELS


@given(label_sets())
def test_membership_agrees_with_what_is_admissible(labels):
    for name in (*labels.names, *labels.structures):
        inside = labels.members(name)
        for label, state in enumerate(labels.membership(name)):
            allowed = labels.admissible[label]
            assert state == (1 if not (allowed & ~inside).any() else 0 if not (allowed & inside).any() else -1)
    assert_array_equal(labels.admissible[: labels.num_classes], np.eye(labels.num_classes, dtype=bool))


# Refusals -------------------------------------------------------------------------------------------------------------

TWO = [{"value": 0, "name": "background"}, {"value": 1, "name": "x"}]
FAULTS = {
    "no classes": {},
    "one class": {"classes": TWO[:1]},
    "classes are a number": {"classes": 5},
    "classes are texts": {"classes": ["background", "x"]},
    "a name twice": {"classes": [*TWO, {"value": 2, "name": "x"}]},
    "a value twice": {"classes": [*TWO, {"value": 1, "name": "y"}]},
    "unknown is a class": {"classes": TWO, "unknown": 1},
    "negative": {"classes": [*TWO, {"value": -1, "name": "y"}]},
    "too large": {"classes": [*TWO, {"value": 65536, "name": "y"}]},
    "a fraction": {"classes": [*TWO, {"value": 1.5, "name": "y"}]},
    "a text": {"classes": [*TWO, {"value": "2", "name": "y"}]},
    "true as a value": {"classes": [{"value": 0, "name": "background"}, {"value": True, "name": "y"}]},
    "YAML made the name a boolean": {"classes": [*TWO, {"value": 2, "name": False}]},
    "an empty name": {"classes": [*TWO, {"value": 2, "name": ""}]},
    "no name": {"classes": [*TWO, {"value": 2}]},
    "a typo": {"classes": [*TWO, {"value": 2, "name": "y", "color": "red"}]},
    "a strange key": {"classes": TWO, "ignore": 3},
    "group of strangers": {"classes": TWO, "groups": [{"name": "g", "classes": ["y"]}]},
    "empty group": {"classes": TWO, "groups": [{"name": "g", "classes": []}]},
    "group without classes": {"classes": TWO, "groups": [{"name": "g"}]},
    "group of one text": {"classes": TWO, "groups": [{"name": "g", "classes": "x"}]},
    "group is a text": {"classes": TWO, "groups": ["g"]},
    "groups are a number": {"classes": TWO, "groups": 3},
    "group named as a class": {"classes": TWO, "groups": [{"name": "x", "classes": ["x"]}]},
    "256 classes": {"classes": [{"value": v, "name": f"c{v}"} for v in range(256)]},
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
def test_a_label_set_that_cannot_be(data):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        LabelSet.from_dict(data)
