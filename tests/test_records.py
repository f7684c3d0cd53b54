"""Datasets as lists of cases: descriptions come back, choices leave what was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal

from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.records import CaseRecord, Dataset, DatasetInfo, Reading, check_case_id

INFO = DatasetInfo("lungs", 3, LabelSet.binary("opacity"), (-1000.0, 400.0), False, "made up")


def record(case_id, patient, split, site, *raters):
    return CaseRecord(case_id, patient, site, split, f"{case_id}.nii", tuple(Reading(r, f"{r}.nii") for r in raters))


RECORDS = (
    record("a1", "a", "train", "x", "Ann", "Ben"),
    record("a2", "a", "train", "y", "Ben"),
    record("b1", "b", "test", "y", "Cleo", "Ann"),
)


def load(entry):
    masks = {x.rater: np.zeros((2, 3), np.uint8) for x in entry.readings}
    return Case(entry.case_id, entry.patient_id, entry.site, np.zeros((2, 3)), masks, Geometry((2, 3), None))


DATASET = Dataset(INFO, RECORDS, load)


# Description ----------------------------------------------------------------------------------------------------------


def test_a_description_comes_back_through_yaml():
    assert DatasetInfo.from_dict(yaml.safe_load(yaml.safe_dump(INFO.to_dict()))) == INFO
    named = replace(INFO, stable_raters=True, raters=("Ann", "Ben"))
    assert DatasetInfo.from_dict(yaml.safe_load(yaml.safe_dump(named.to_dict()))) == named
    assert "note" not in DatasetInfo("n", 2, LabelSet.binary("x"), (0, 1)).to_dict()


def test_what_is_left_out_has_its_default():
    data = {k: v for k, v in INFO.to_dict().items() if k not in ("raters", "note")}
    info = DatasetInfo.from_dict(data)
    assert (info.stable_raters, info.note) == (True, "")
    assert DatasetInfo.from_dict({**data, "raters": None}).stable_raters


def test_repeats_come_back_through_yaml():
    info = replace(INFO, stable_raters=True, repeats=(("Ann-2", "Ann"), ("Bob-2", "Bob")))
    data = yaml.safe_load(yaml.safe_dump(info.to_dict()))
    assert data["raters"] == {"stable": True, "repeats": {"Ann-2": "Ann", "Bob-2": "Bob"}}
    assert DatasetInfo.from_dict(data) == info


def test_the_window_becomes_nought_to_one():
    image = np.array([-2000, -1000, -300, 400, 3000], np.int16)
    assert_array_equal(INFO.normalise(image), np.array([0, 0, 0.5, 1, 1], np.float32))
    assert INFO.normalise(image).dtype == np.float32


FAULTS = {
    "typo": {"windw": [0, 1]},
    "dimensions": {"dimensions": 4},
    "dimensions as text": {"dimensions": "3"},
    "dimensions as truth": {"dimensions": True},
    "dimensions as a fraction": {"dimensions": 3.0},
    "window of one": {"window": [1]},
    "window falls": {"window": [1, 0]},
    "window flat": {"window": [1, 1]},
    "window of texts": {"window": ["0", "1"]},
    "window of truths": {"window": [False, True]},
    "window without end": {"window": [0, float("inf")]},
    "labels": {"labels": ["a"]},
    "raters as list": {"raters": []},
    "raters as text": {"raters": "stable"},
    "raters unknown": {"raters": {"named": True}},
    "stable as text": {"raters": {"stable": "yes"}},
    "names as text": {"raters": {"names": "Ann"}},
    "a name that is a number": {"raters": {"names": ["Ann", 3]}},
    "a name that is empty": {"raters": {"names": [""]}},
    "a name twice": {"raters": {"names": ["Ann", "Ann"]}},
    "names of raters who change": {"raters": {"stable": False, "names": ["Ann"]}},
    "repeats as list": {"raters": {"repeats": ["Ann"]}},
    "a repeat of nobody": {"raters": {"repeats": {"Ann-2": None}}},
    "a repeat of oneself": {"raters": {"repeats": {"Ann": "Ann"}}},
    "a repeat of a repeat": {"raters": {"repeats": {"Ann-2": "Ann", "Ann-3": "Ann-2"}}},
    "repeats of raters who change": {"raters": {"stable": False, "repeats": {"Ann-2": "Ann"}}},
    "name as list": {"name": [1]},
    "note as number": {"note": 3},
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS.keys())
def test_a_description_that_cannot_be(change):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        DatasetInfo.from_dict({**INFO.to_dict(), **change})


@pytest.mark.parametrize("key", ["name", "dimensions", "labels", "window"])
def test_a_key_that_is_missing_is_named(key):
    data = INFO.to_dict()
    del data[key]
    with pytest.raises(ProbsegError, match=f"E_SCHEMA: dataset.yaml must have the key '{key}'"):
        DatasetInfo.from_dict(data)


# Case ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case_id", ["LIDC-0007", "Łukasz 3", "a.b", "x" * 100, "<script>", "=1+1"])
def test_case_ids_that_can_name_a_folder(case_id):
    assert check_case_id(case_id) == case_id


@pytest.mark.parametrize(
    "case_id",
    ["", ".", "..", "/etc", "a/b", "a\\b", "a\nb", "a\n", "a\0b", "\x1b[31m", "-rf", "~", " a", "x" * 101, "é" * 76],
)
def test_case_ids_that_cannot(case_id):
    with pytest.raises(ProbsegError, match="E_BAD_CASE_ID") as caught:
        check_case_id(case_id)
    assert caught.value.message.isprintable()


# Choosing -------------------------------------------------------------------------------------------------------------


def test_a_dataset_is_its_cases():
    assert len(DATASET) == 3
    assert [case.case_id for case in DATASET] == ["a1", "a2", "b1"]
    assert DATASET.patients == ("a", "b")
    assert DATASET.raters == ("Ann", "Ben", "Cleo")


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ({}, ["a1", "a2", "b1"]),
        ({"splits": ["train"]}, ["a1", "a2"]),
        ({"sites": ["y"]}, ["a2", "b1"]),
        ({"splits": ["train"], "sites": ["y"]}, ["a2"]),
    ],
)
def test_choosing_by_split_and_site(choice, left):
    assert [r.case_id for r in DATASET.select(**choice).records] == left


def test_an_excluded_rater_is_gone_and_the_others_stay():
    left = DATASET.select(exclude=["Ann"])
    assert left.raters == ("Ben", "Cleo")
    assert [list(case.masks) for case in left] == [["Ben"], ["Ben"], ["Cleo"]]
    assert DATASET.raters == ("Ann", "Ben", "Cleo")


def test_choices_that_leave_nothing():
    with pytest.raises(ProbsegError, match=r"E_NO_CASES: .*its splits are test, train"):
        DATASET.select(splits=["validation"])
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER: no rater is called 'Dan'; there are Ann, Ben, Cleo"):
        DATASET.select(exclude=["Dan"])


def test_the_raters_that_a_model_can_learn_from_are_those_of_its_training_cases():
    stable = replace(DATASET, info=replace(INFO, stable_raters=True))
    assert stable.with_known_raters().info.raters == ("Ann", "Ben")
    assert stable.with_known_raters(sites=["y"]).info.raters == ("Ben",)
    assert stable.with_known_raters("test").info.raters == ("Ann", "Cleo")
    assert stable.with_known_raters("validation").info.raters == ("Ann", "Ben", "Cleo")  # nobody trains
    assert DATASET.with_known_raters() is DATASET  # who is not stable is not known
