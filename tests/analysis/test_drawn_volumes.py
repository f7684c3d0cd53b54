import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.drawn_volumes import (
    AERATED,
    MEAN_RATER,
    drawn_volumes,
    volume_correlations,
    volume_pairs,
)
from probseg.analysis.volume_agreement import icc
from probseg.analysis.volumes import lung_parts
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet

LUNG = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "aerated"), LabelClass(2, "glass"), LabelClass(3, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=4), LabelGroup("lung", ("aerated", "glass", "solid"))),
)


def case(name, masks, prediction=None, labels=LUNG, rated=None, spacing=(1.0, 2.0)):
    """One row of voxels a rater; slice thickness 500 mm makes a voxel 1 mL."""
    arrays = {r: np.array([m], dtype=np.uint8) for r, m in masks.items()}
    shape = next(iter(arrays.values())).shape
    geometry = Geometry(shape, spacing, slice_thickness_mm=500.0 if spacing else None)
    looked = {r: np.array([v], dtype=bool) for r, v in (rated or {}).items()}
    given_case = Case(name, f"p-{name}", "here", np.zeros(shape, np.int16), arrays, geometry, looked)
    return case_statistics(given_case, labels, None if prediction is None else np.array([prediction]))


def test_percent_of_lung_by_hand():
    # A: lung 8 of 10, opacity 2, so 25 % of lung, 75 % well aerated. B drew the opacity as a group: 4 of 8.
    found = drawn_volumes([case("1", {"A": [0, 0, 1, 1, 1, 1, 1, 1, 2, 3], "B": [0, 0, 1, 1, 1, 1, 4, 4, 2, 3]})], LUNG)
    assert found.structures == ("aerated", "glass", "solid", "opacity", "lung", AERATED)
    ml = dict(zip(found.structures, found.ml[0].T.tolist(), strict=True))
    assert ml["opacity"] == [2.0, 4.0]
    assert ml["lung"] == [8.0, 8.0]
    assert ml[AERATED] == [6.0, 4.0]
    assert ml["glass"][0] == 1.0
    assert math.isnan(ml["glass"][1])  # B's group leaves it open
    percent = dict(zip(found.structures, found.percent_of_lung[0].T.tolist(), strict=True))
    assert percent["opacity"] == [25.0, 50.0]
    assert percent[AERATED] == [75.0, 50.0]


def test_opacity_outside_the_lung_class_still_counts_to_the_lung():
    labels = LabelSet((LabelClass(0, "background"), LabelClass(1, "Lung"), LabelClass(2, "opacity")))
    found = drawn_volumes([case("1", {"A": [0, 1, 1, 1, 2]}, labels=labels)], labels)
    assert found.percent_of_lung[0, 0].tolist() == [75.0, 25.0, 75.0]
    assert found.structures[-1] == AERATED
    assert lung_parts(LabelSet.binary("nodule")) is None
    assert lung_parts(LabelSet.binary("lung")).aerated is None


def test_what_was_not_looked_at_or_has_no_spacing_is_unknown():
    partly = case("1", {"A": [1, 1, 2, 0], "B": [1, 1, 2, 0]}, rated={"B": [True, True, True, False]})
    without = case("2", {"A": [1, 1, 2, 0]}, prediction=[1, 2, 2, 0], spacing=None)
    found = drawn_volumes([partly, without], LUNG)
    assert found.parties == ("A", "B", "prediction")
    assert np.isnan(found.voxels[0, 1]).all()
    assert np.isnan(found.ml[1]).all()
    # percent needs no millimetres
    assert found.percent_of_lung[1, 0, 3] == pytest.approx(100 / 3)
    assert found.percent_of_lung[1, 2, 3] == pytest.approx(200 / 3)
    none = LabelSet.binary("nodule")
    assert list(drawn_volumes([case("1", {"A": [0, 1]}, labels=none)], none).measures()) == ["volume_ml"]


def several(rng, n, raters, gaps=0.0):
    nodule = LabelSet.binary("nodule")
    out = []
    for i in range(n):
        size = rng.integers(5, 25)
        masks = {r: (np.arange(40) < size + rng.integers(-3, 4)).astype(int) for r in raters if rng.random() >= gaps}
        out.append(case(f"{i:02d}", masks or {raters[0]: np.zeros(40)}, np.arange(40) < size, labels=nodule))
    return out, nodule


def test_agreement_is_that_of_the_table_over_cases():
    statistics, labels = several(np.random.default_rng(0), 12, ("A", "B", "C"))
    found = drawn_volumes(statistics, labels)
    table = np.array([[s.sizes_voxels[r][0] for r in "ABC"] for s in statistics])
    (correlation,) = volume_correlations(found, stable=True)
    assert correlation.absolute == icc(table, "2,1")
    assert correlation.consistency == icc(table, "3,1")
    assert (correlation.measure, correlation.one_way.n) == ("volume_ml", 12)
    pairs = {(p.party_a, p.party_b): p.agreement for p in volume_pairs(found, stable=True)}
    assert set(pairs) == {("A", "B"), ("A", "C"), ("B", "C")} | {("prediction", r) for r in ("A", "B", "C", MEAN_RATER)}
    assert pairs["A", "C"].bias == pytest.approx((table[:, 0] - table[:, 2]).mean())
    predicted = np.array([s.patterns.labels[-1] @ s.patterns.voxels for s in statistics])
    assert pairs["prediction", MEAN_RATER].bias == pytest.approx((predicted - table.mean(axis=1)).mean())


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_without_identities_names_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    statistics, labels = several(rng, 8, ("A", "B", "C"), gaps=0.2)
    renamed = []
    for k, s in enumerate(statistics):
        masks = {r: np.repeat(row, s.patterns.voxels) for r, row in zip(s.parties, s.patterns.labels, strict=True)}
        prediction = masks.pop("prediction")
        names = rng.permutation(["A", "B", "C"])[: len(masks)].tolist()
        renamed.append(case(f"{k:02d}", dict(zip(names, masks.values(), strict=True)), prediction, labels=labels))
    one, other = (drawn_volumes(s, labels) for s in (statistics, renamed))
    first, second = (volume_correlations(v, stable=False) for v in (one, other))
    assert [c.one_way for c in first] == [pytest.approx(c.one_way, nan_ok=True) for c in second]
    assert all(c.absolute is None and c.consistency is None for c in first)
    pairs = volume_pairs(one, stable=False)
    assert [(p.party_a, p.party_b) for p in pairs] == [("prediction", MEAN_RATER)]
