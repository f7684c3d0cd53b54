from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from probseg.adapting import SiteData, choose_cases
from probseg.adapting.site_data import patients_of
from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.records import CaseRecord, Dataset
from tests.adapting.conftest import INFO, blobs, pictures

SPLITS = ("train", "train", "validation", "calibration", "test")


def dataset(number: int = 20, bite: bool = False) -> Dataset:
    return pictures(lambda k: SPLITS[k % 5], blobs(number), bite=bite)


def test_fewer_patients_are_among_more_of_the_same_seed_and_never_tested():
    whole = dataset()
    tested = {r.patient_id for r in whole.records if r.split == "test"}
    before: set[str] = set()
    for number in (1, 2, 5, 12):
        names = set(patients_of(choose_cases(whole, "new", ("train", "validation"), number, seed=3)))
        assert len(names) == number and before <= names and not names & tested
        before = names
    assert before == set(patients_of(choose_cases(whole, "new", ("train", "validation"), None, seed=0)))
    others = {patients_of(choose_cases(whole, "new", ("train",), 2, seed=s)) for s in range(8)}
    assert len(others) > 1


def test_all_cases_of_a_patient_come_along():
    whole = dataset()
    again = tuple(replace(r, case_id=f"{r.case_id}-2") for r in whole.records)
    twice = replace(whole, records=whole.records + again)
    assert len(choose_cases(twice, "new", ("train",), 3, seed=0)) == 6


@pytest.mark.parametrize(
    ("site", "splits", "patients", "code"),
    [
        ("old", ("train",), None, "E_UNKNOWN_SITE"),
        ("new", ("train", "test"), None, "E_USAGE"),
        ("new", (), None, "E_USAGE"),
        ("new", ("train",), 9, "E_USAGE: --cases 9 must lie between 1 and the 8 patients"),
        ("new", ("train",), 0, "E_USAGE"),
    ],
)
def test_what_cannot_be_chosen(site: str, splits: tuple[str, ...], patients: int | None, code: str):
    with pytest.raises(ProbsegError, match=code):
        choose_cases(dataset(), site, splits, patients, 0)


def test_a_site_without_such_cases_and_a_patient_on_both_sides():
    only_tested = pictures(lambda k: "test", blobs(2))
    with pytest.raises(ProbsegError, match="E_NO_CASES: site 'new' of dataset 'toy' has no case with split train"):
        choose_cases(only_tested, "new", ("train",), None, 0)
    whole = dataset()
    elsewhere = replace(whole.records[0], case_id="other", site="elsewhere", split="test")
    with pytest.raises(ProbsegError, match="E_SPLIT_LEAK: patient 'patient-0'"):
        choose_cases(replace(whole, records=(*whole.records, elsewhere)), "new", ("train",), 2, 0)


def test_images_come_without_their_masks():
    whole = dataset(bite=True)
    with pytest.raises(AssertionError, match="a mask was read"):
        whole.load(whole.records[0])
    images = SiteData(whole, whole.records, {}).images(INFO, 2, 100, 0)
    assert len(images) == 20 and all(i.shape == (1, 16, 16) for i in images)
    assert np.array_equal(images[3][0].numpy(), blobs(20)[3])
    some = SiteData(whole, whole.records, {}).images(INFO, 2, 7, 0)
    assert len(some) == 7 and all(any(np.array_equal(s, i) for i in images) for s in some)


def volumes(number: int) -> Dataset:
    records = tuple(CaseRecord(f"v{k}", f"p{k}", "new", "train", str(k), ()) for k in range(number))

    def load(record: CaseRecord) -> Case:
        shape = (6, 12, 10)
        image = np.arange(720, dtype=np.float32).reshape(shape) / 720
        return Case(record.case_id, record.patient_id, "new", image, {}, Geometry(shape, (1.0, 1.0, 1.0)))

    return Dataset(replace(INFO, dimensions=3), records, load)


def test_volumes_give_slices_or_windows_and_each_scan_its_share():
    whole = volumes(3)
    site = SiteData(whole, whole.records, {"crop": [4, 8, 16]})
    slices = site.images(whole.info, 2, 6, 0)
    assert [tuple(s.shape) for s in slices] == [(1, 12, 10)] * 6
    windows = site.images(whole.info, 3, 4, 0)
    assert [tuple(w.shape) for w in windows] == [(1, 4, 8, 10)] * 4  # no larger than the volume
    assert len(site.images(whole.info, 2, 1000, 0)) == 18  # no slice twice
