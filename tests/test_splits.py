"""Splits by patient: shares that hold everywhere, folds that meet every patient once, leaks that are found."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.records import SPLITS, CaseRecord, Reading
from probseg.splits import Patient, check_leaks, patients_of, split_by_fold, split_by_shares, split_by_site
from probseg.survey import CaseFacts


def patients(count, sites=("a", "b"), every=2):
    return tuple(Patient((f"p{k:03d}",), (sites[k % len(sites)],), k // len(sites) % every == 0) for k in range(count))


def facts(case, patient, image="", site="a", split="", foreground=True):
    record = CaseRecord(case, patient, site, split, f"{case}.nii", (Reading("A", "m.nii"),))
    return CaseFacts(record, (2, 2, 2), None, 1.0, image or case, 0.0, 1.0, (), foreground)


def test_forty_patients_by_hand():
    """Forty patients, four strata of ten: 24, 4, 4 and 8, and of each stratum 6, 1, 1 and 2."""
    everyone = patients(40)
    splits = split_by_shares(everyone, seed=3)
    assert Counter(splits.values()) == {"train": 24, "validation": 4, "calibration": 4, "test": 8}
    for stratum in {(p.sites, p.foreground) for p in everyone}:
        got = Counter(splits[p.names[0]] for p in everyone if (p.sites, p.foreground) == stratum)
        assert got == {"train": 6, "validation": 1, "calibration": 1, "test": 2}, stratum


def test_the_seed_decides():
    assert split_by_shares(patients(30), seed=1) == split_by_shares(patients(30), seed=1)
    assert len({tuple(split_by_shares(patients(30), seed=k).values()) for k in range(8)}) == 8
    # no patient is bound to a split by its name
    assert {split_by_shares(patients(30), seed=k)["p000"] for k in range(40)} == set(SPLITS)


@given(st.integers(1, 60), st.integers(0, 5), st.lists(st.integers(0, 10), min_size=4, max_size=4).filter(sum))
def test_counts_follow_the_shares(count, seed, weights):
    shares = np.array(weights) / sum(weights)
    splits = split_by_shares(patients(count, ("a", "b", "c")), shares, seed)
    assert len(splits) == count
    got = Counter(splits.values())
    for name, share in zip(SPLITS, shares, strict=True):
        assert (share > 0) or got[name] == 0
        if count >= (shares > 0).sum():
            assert (got[name] > 0) == (share > 0)
            assert abs(got[name] - share * count) < 3


@given(st.integers(3, 40), st.integers(3, 7), st.integers(0, 3))
def test_every_patient_is_tested_once(count, folds, seed):
    everyone = patients(count)
    if folds > count:
        with pytest.raises(ProbsegError, match="E_USAGE"):
            split_by_fold(everyone, folds, 0, seed)
        return
    dealt = [split_by_fold(everyone, folds, k, seed) for k in range(folds)]
    for patient in everyone:
        roles = Counter(d[patient.names[0]] for d in dealt)
        assert roles == {"test": 1, "validation": 1, "train": folds - 2}
    sizes = [Counter(d.values())["test"] for d in dealt]
    assert max(sizes) - min(sizes) <= 1


def test_one_site_is_left_out():
    both = Patient(("roamer",), ("a", "b"), True)
    splits = split_by_site((*patients(30, ("a", "b", "c")), both), "b")
    assert {name for name, s in splits.items() if s == "test"} == {f"p{k:03d}" for k in range(30) if k % 3 == 1} | {
        "roamer"
    }
    assert Counter(splits.values()) == {"train": 15, "validation": 3, "calibration": 2, "test": 11}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: split_by_shares(p, (0.5, 0.5)),
        lambda p: split_by_shares(p, (0.5, 0.2, 0.2, 0.2)),
        lambda p: split_by_shares(p, (1.2, -0.2, 0, 0)),
        lambda p: split_by_shares(p, (float("nan"), 0, 0, 1)),
        lambda p: split_by_fold(p, 2, 0),
        lambda p: split_by_fold(p, 5, 5),
        lambda p: split_by_fold(p, 5, -1),
        lambda p: split_by_site(p, "nowhere"),
        lambda p: split_by_site(p[::2], "a"),
        lambda p: split_by_site(p, "a", (0, 0.5, 0.5, 0)),
    ],
)
def test_wrong_wishes(wrong):
    with pytest.raises(ProbsegError, match="E_USAGE"):
        wrong(patients(10))


def test_patients_who_share_an_image_stay_together():
    with pytest.warns(ProbsegWarning, match="W_DUPLICATE_IMAGE: cases 'c1' and 'c4'"):
        found = patients_of(
            [
                facts("c1", "p1", "x"),
                facts("c2", "p1"),
                facts("c3", "p3", foreground=False),
                facts("c4", "p0", "x", "b"),
            ]
        )
    assert found == (Patient(("p0", "p1"), ("a", "b"), True), Patient(("p3",), ("a",), False))


def test_one_image_in_two_splits_is_a_leak():
    check_leaks([facts("c1", "p1", "x", split="train"), facts("c2", "p2", "x", split="train"), facts("c3", "p3", "x")])
    with pytest.raises(ProbsegError, match=r"E_SPLIT_LEAK: cases 'c1' \(train\) and 'c2' \(test\)"):
        check_leaks([facts("c1", "p1", "x", split="train"), facts("c2", "p2", "x", split="test")])
