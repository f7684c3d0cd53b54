import json
import math
from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.agreement import analyse, merge
from probseg.analysis.case_agreement import case_statistics
from probseg.case import Case, Geometry
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo

INFO = DatasetInfo("toy", 2, LabelSet.binary("nodule"), (0.0, 1.0))
UNSTABLE = DatasetInfo("toy", 2, LabelSet.binary("nodule"), (0.0, 1.0), stable_raters=False)


def case(case_id, patient, masks, spacing=(1.0, 1.0)):
    masks = {name: np.array([m], dtype=np.uint8) for name, m in masks.items()}
    geometry = Geometry((1, 4), spacing, slice_thickness_mm=1000.0)
    return Case(case_id, patient, "here", np.zeros((1, 4)), masks, geometry)


CASES = [
    case("c1", "p1", {"A": [1, 1, 0, 0], "B": [1, 1, 1, 0], "C": [0, 0, 0, 0]}),
    case("c2", "p2", {"A": [1, 0, 0, 0], "B": [1, 1, 0, 0]}),
    case("c3", "p2", {"A": [0, 0, 0, 0], "B": [0, 0, 0, 0]}),
]


def test_figures_by_hand():
    report = analyse(CASES, info=INFO)
    (nodule,) = report.structures
    # c1: 4/5, 0, 0; c2: 2/3; c3 has nothing drawn and is not counted
    assert nodule.dice.value == pytest.approx((4 / 15 + 2 / 3) / 2)
    assert nodule.dice.n == 2
    assert (nodule.dice.low, nodule.dice.high) == (pytest.approx(4 / 15), pytest.approx(2 / 3))
    assert nodule.iou.value == pytest.approx((2 / 9 + 1 / 2) / 2)
    assert (nodule.pairs, nodule.both_empty, nodule.one_empty) == (5, 1, 2)
    # c1: union of three voxels, none agreed on by all three; c2: one of two
    assert report.complete_agreement.value == pytest.approx(1 / 4)
    rater = {r.rater: r for r in report.raters}
    assert rater["C"].dice.value == 0.0
    assert rater["C"].dice.n == 1
    # B against A: c1 (4/5 + 0) / 2, c2 2/3
    assert rater["B"].dice.value == pytest.approx((0.4 + 2 / 3) / 2)
    # volume: 3 against 2, C having none; 2 against 1
    assert rater["B"].volume_log_ratio.value == pytest.approx((math.log(3 / 2) + math.log(2)) / 2)
    assert rater["C"].volume_log_ratio.n == 0


def test_json_has_null_where_nothing_is_defined():
    with pytest.warns(ProbsegWarning, match="W_SINGLE_RATER: 1 of 1 cases"):
        report = analyse([case("c", "p", {"A": [1, 1, 0, 0]})], info=INFO)
    text = json.dumps(report.to_dict(), allow_nan=False)
    data = json.loads(text)
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    assert data["structures"]["nodule"]["dice"] == nothing
    assert data["complete_agreement"] == nothing
    assert data["rater_entropy"] == nothing
    assert data["single_rater_cases"] == ["c"]
    assert data["raters"]["A"]["nodule"]["dice"] == nothing


def test_raters_without_identity_get_no_figure():
    report = analyse(CASES, info=UNSTABLE)
    assert report.raters == ()
    assert report.to_dict()["raters"] is None
    assert report.to_dict()["rater_names"] is None
    assert report.structures == analyse(CASES, info=INFO).structures


def test_copied_raters_are_named():
    twins = [
        case("c1", "p1", {"A": [1, 1, 0, 0], "B": [1, 1, 0, 0], "C": [1, 0, 0, 0]}),
        case("c2", "p2", {"A": [0, 1, 0, 0], "B": [0, 1, 0, 0], "C": [0, 1, 0, 0]}),
    ]
    with pytest.warns(ProbsegWarning, match="W_IDENTICAL_RATERS: raters 'A' and 'B' .* --exclude 'B'"):
        report = analyse(twins, info=INFO)
    # C is the same as A in the second case only.
    assert report.identical == (("A", "B"),)


def test_order_of_cases_and_raters_does_not_matter():
    turned = [
        Case(c.case_id, c.patient_id, c.site, c.image, dict(reversed(list(c.masks.items()))), c.geometry)
        for c in reversed(CASES)
    ]
    first, second = analyse(CASES, info=INFO), analyse(turned, info=INFO)
    assert first.structures[0].dice.value == pytest.approx(second.structures[0].dice.value)
    assert first.complete_agreement.value == pytest.approx(second.complete_agreement.value)
    for a, b in zip(first.raters, second.raters, strict=True):
        assert a.rater == b.rater
        assert a.volume_log_ratio.value == pytest.approx(b.volume_log_ratio.value, nan_ok=True)


def test_predictions_stand_beside_the_raters():
    report = analyse(CASES, {"c2": np.array([[1, 0, 0, 0]])}, info=INFO)
    (against,) = report.predictions
    # A: 1, B: 2/3
    assert against.dice.value == pytest.approx(5 / 6)
    assert against.dice.n == 1
    assert report.structures == analyse(CASES, info=INFO).structures
    rows = report.tables()["pairwise"].rows
    assert [r[:4] for r in rows if r[3] == "prediction"] == [
        ("c2", "here", "A", "prediction"),
        ("c2", "here", "B", "prediction"),
    ]
    with pytest.raises(ProbsegError, match=r"E_SCHEMA: a prediction is given for 'c9'"):
        analyse(CASES, {"c9": np.zeros((1, 4))}, info=INFO)


def test_a_list_of_cases_needs_its_labels():
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        analyse(CASES)
    with pytest.raises(ProbsegError, match="E_NO_CASES"):
        analyse([], info=INFO)


def test_merging_is_apart_from_measuring():
    statistics = [case_statistics(c, INFO.labels) for c in CASES]
    assert merge(statistics, INFO).to_dict() == analyse(CASES, info=INFO).to_dict()


def test_tables_are_tidy():
    tables = analyse(CASES, info=INFO).tables()
    assert list(tables)[:4] == ["pairwise", "cases", "classes", "confusion"]
    assert tables["pairwise"].rows[0][:6] == ("c1", "here", "A", "B", "nodule", pytest.approx(0.8))
    assert [r[:4] for r in tables["cases"].rows] == [
        ("c1", "p1", "here", 3),
        ("c2", "p2", "here", 2),
        ("c3", "p2", "here", 2),
    ]
    assert [r[:3] for r in tables["classes"].rows[:2]] == [("c1", "here", "all classes"), ("c1", "here", "nodule")]
    assert [r[:5] for r in tables["volumes"].rows[:2]] == [
        ("c1", "here", "A", "nodule", 2.0),
        ("c1", "here", "B", "nodule", 3.0),
    ]
    for columns, rows in tables.values():
        assert {len(r) for r in rows} == {len(columns)}


def test_four_radiologists_agree_as_published(shared_data):
    """Mean pairwise IoU of the 64 x 64 crops where all four drew something: near the 0.684 of the larger crops."""
    dataset = open_dataset(shared_data / "lidc" / "lidc_small_64.npz")
    ious = []
    for record in dataset.records[::4]:
        found = case_statistics(dataset.load(record), dataset.info.labels)
        if all(size[0] > 0 for size in found.sizes_voxels.values()):
            ious += [p.iou for p in found.pairs]
    assert len(ious) > 600
    assert 0.62 < np.mean(ious) < 0.75


def test_two_tools_of_one_person(shared_data):
    dataset = open_dataset(shared_data / "bubil")
    with pytest.warns(ProbsegWarning, match="'Person2_Amira' and 'Person2_ImageJ'"):
        report = analyse([dataset.load(r) for r in dataset.records[:4]], info=dataset.info)
    assert report.identical == (("Person2_Amira", "Person2_ImageJ"),)
    distinct = dataset.select(exclude=["Person2_ImageJ"])
    assert analyse([distinct.load(r) for r in distinct.records[:4]], info=dataset.info).identical == ()


def test_each_site_is_what_its_cases_alone_give():
    sites = [replace(c, site=site) for c, site in zip(CASES, ("north", "south", "south"), strict=True)]
    report = analyse(sites, info=INFO)
    assert list(report.by_site()) == ["north", "south"]
    assert report.by_site()["south"].to_dict() == analyse(sites[1:], info=INFO).to_dict()
    listed = report.to_dict()["sites"]
    assert listed["north"]["structures"]["nodule"]["dice"]["value"] == pytest.approx(4 / 15)
    assert (listed["south"]["cases"], listed["south"]["patients"]) == (2, 1)
    assert analyse(CASES, info=INFO).to_dict()["sites"] is None
