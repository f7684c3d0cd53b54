import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.held_out import ALL_CLASSES, ICC, held_out, kinds_of_figure
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet

BINARY = LabelSet.binary("nodule")
LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=3),),
)


def measured(masks, prediction=None, labels=BINARY, name="c"):
    arrays = {r: np.array(m, dtype=np.uint8).reshape(2, -1) for r, m in masks.items()}
    shape = next(iter(arrays.values())).shape
    geometry = Geometry(shape, (1.0, 2.0), slice_thickness_mm=500.0)
    case = Case(name, f"p-{name}", "", np.zeros(shape, np.int16), arrays, geometry)
    return case_statistics(case, labels, None if prediction is None else np.array(prediction).reshape(shape))


def column(held, figure, structure):
    return held.values[:, :, held.names.index((figure, structure))]


def test_three_raters_by_hand():
    # sizes 2, 3, 4 and the model 1, each within the next: Dice 4/5 4/6 6/7; the model's 2/3 2/4 2/5
    rows = {r: [1] * n + [0] * (8 - n) for r, n in (("a", 2), ("b", 3), ("c", 4))}
    held = held_out([measured(rows, [1, 0, 0, 0, 0, 0, 0, 0])], BINARY, stable=True)
    assert held.places == ("a", "b", "c")
    dice = column(held, "dice", "nodule")[0]
    assert dice[0].tolist() == pytest.approx([(4 / 5 + 4 / 6) / 2, (2 / 4 + 2 / 5) / 2])
    assert dice[2].tolist() == pytest.approx([(4 / 6 + 6 / 7) / 2, (2 / 3 + 2 / 4) / 2])
    # against the majority of b and c, which is their overlap of 3: a has 2 of 3, the model 1 of 3
    assert column(held, "consensus_sensitivity", "nodule")[0, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
    # c: 4 against the geometric mean of 2 and 3, and 1 mL against their mean 2.5
    assert column(held, "volume_log_ratio", "nodule")[0, 2].tolist() == pytest.approx(
        [math.log(4 / math.sqrt(6)), math.log(1 / math.sqrt(6))]
    )
    assert column(held, "volume_error_ml", "nodule")[0, 2].tolist() == pytest.approx([1.5, 1.5])
    assert column(held, "within_range", "nodule")[0, :, 0].tolist() == [0.0, 1.0, 0.0]
    # of the union of four voxels all three agree on two; with the model for a, on one
    assert column(held, "complete_agreement", ALL_CLASSES)[0, 0].tolist() == [0.5, 0.25]
    assert {f for f, _ in held.names} == set(kinds_of_figure()) - {ICC}


@given(st.integers(0, 10_000), st.integers(2, 4))
@settings(max_examples=8, deadline=None)
def test_a_model_that_copies_a_rater_equals_him_in_his_place(seed, raters):
    rng = np.random.default_rng(seed)
    names = "abcd"[:raters]
    masks = {r: rng.integers(0, 4, size=24) * (rng.random(24) < 0.6) for r in names}
    copied = int(rng.integers(raters))
    held = held_out([measured(masks, masks[names[copied]], LABELS)], LABELS, stable=True)
    place = held.values[0, copied]
    np.testing.assert_allclose(place[:, 0], place[:, 1], rtol=1e-12)  # a mean of distances in another order


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_the_ceiling_is_the_mean_over_pairs(seed):
    rng = np.random.default_rng(seed)
    masks = {r: rng.integers(0, 3, size=24) for r in "abc"}
    case = measured(masks, rng.integers(0, 3, size=24), LABELS)
    held = held_out([case], LABELS, stable=False)
    assert held.places == ("1", "2", "3")
    for figure, value in (("dice", "dice"), ("surface_distance_mean_mm", "surface_mean_mm")):
        for structure in ("glass", "opacity"):
            both = column(held, figure, structure)[0].mean(axis=0)
            own = [getattr(p, value) for p in case.pairs if p.structure == structure]
            given = [getattr(p, value) for p in case.prediction_pairs if p.structure == structure]
            assert both.tolist() == pytest.approx([np.mean(own), np.mean(given)])


def test_nothing_to_compare():
    lone, without = measured({"a": [1, 0]}, [1, 0]), measured({"a": [1, 0], "b": [1, 1]})
    held = held_out([lone, without], BINARY, stable=True)
    assert np.isnan(held.values).all()
    empty = held_out([measured({"a": [0, 0], "b": [0, 0]}, [0, 0])], BINARY, stable=True)
    assert np.isnan(column(empty, "dice", "nodule")).all()
    # nobody's volume differs from the others', and there is no logarithm of nothing
    assert (column(empty, "volume_error_ml", "nodule") == 0).all()
    assert np.isnan(column(empty, "volume_log_ratio", "nodule")).all()
