import math

import numpy as np
import pytest

from probseg.analysis.agreement import analyse
from probseg.analysis.kappa import fleiss_kappa, krippendorff_alpha
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import DatasetInfo

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid")),),
)
INFO = DatasetInfo("toy", 2, LABELS, (0.0, 1.0))


def case(name, patient, **masks):
    arrays = {r: np.array([m], np.uint8) for r, m in masks.items()}
    return Case(name, patient, "", np.zeros((0, 1, 6)), arrays, Geometry((1, 6), (1.0, 1.0)))


CASES = [
    case("c1", "p1", A=[1, 1, 2, 0, 0, 0], B=[1, 2, 2, 2, 0, 1]),
    case("c2", "p2", A=[1, 0, 0, 0, 0, 2], B=[1, 0, 0, 0, 0, 2]),
    case("c3", "p3", A=[0, 0, 0, 0, 0, 0], B=[0, 0, 0, 0, 0, 0]),
]


def test_kinds_of_disagreement_over_cases():
    report = analyse(CASES, info=INFO)
    kinds = report.disagreement
    # c1: second voxel class, fourth extent, last presence; the others differ nowhere
    assert (kinds.class_voxels, kinds.presence_voxels, kinds.extent_voxels) == (1, 1, 1)
    assert kinds.class_share.value == pytest.approx(1 / 3)
    assert kinds.class_share.n == 1
    glass, solid, opacity = (s.disagreement for s in report.structures)
    # glass: the second voxel (class) and the last; solid: the second and the fourth; opacity: not the second
    assert (glass.class_voxels, glass.presence_voxels, glass.extent_voxels) == (1, 1, 0)
    assert (solid.class_voxels, solid.presence_voxels, solid.extent_voxels) == (1, 0, 1)
    assert (opacity.class_voxels, opacity.presence_voxels, opacity.extent_voxels) == (0, 1, 1)


def test_surface_dice_and_kappa_over_cases():
    report = analyse(CASES, info=INFO, tolerances_mm=(0.0, 1.0))
    opacity = report.structures[2]
    # c1: A three voxels, B four of the row and one apart, all surface: 6 of 8 shared; c2: 1; c3 has no surface
    assert [s.value for s in opacity.surface_dice] == pytest.approx([(6 / 8 + 1) / 2, (7 / 8 + 1) / 2])
    # within its union a structure that both draw leaves no background: kappa of c1 is (3/5 - .68) / (1 - .68) with
    # shares 3/5 and 5/5, so chance agrees on 3/5 and there is nothing beyond it
    assert opacity.cohen_kappa.n == 1
    assert opacity.cohen_kappa.value == pytest.approx(0.0)
    whole = analyse(CASES, info=INFO, region="whole").structures[2]
    # A 3/6, B 5/6: observed 4/6, by chance 5/12 + 1/12; and 1
    assert whole.cohen_kappa.value == pytest.approx(((4 / 6 - 1 / 2) / (1 / 2) + 1) / 2)
    assert whole.cohen_kappa.n == 2


def test_votes_over_cases_and_pooled():
    report = analyse(CASES, info=INFO)
    together = report.votes[0]
    masks = [np.stack(list(c.masks.values())) for c in CASES]
    each = [fleiss_kappa(m, 3) for m in masks]
    assert together.fleiss_kappa.value == pytest.approx(np.nanmean(each))
    assert together.fleiss_kappa.n == 2
    pooled = np.concatenate([m[:, (m > 0).any(axis=0)] for m in masks], axis=1)
    assert together.fleiss_kappa_pooled.value == pytest.approx(fleiss_kappa(pooled, 3))
    assert together.krippendorff_alpha_pooled.value == pytest.approx(krippendorff_alpha(pooled))
    assert together.krippendorff_alpha_pooled.n == 2
    assert [v.structure for v in report.votes] == ["all classes", "glass", "solid", "opacity"]
    assert report.complete_agreement == together.complete_agreement


def test_confusion_of_persons_and_of_nobody():
    report = analyse(CASES, info=INFO)
    (table,) = report.confusion
    # of what A calls glass, B calls one voxel of three solid
    assert (table.rater_a, table.rater_b) == ("A", "B")
    assert table.voxels.tolist() == [[11, 1, 1], [0, 2, 1], [0, 0, 2]]
    columns, rows = report.tables()["confusion"]
    assert columns == ("rater_a", "rater_b", "class_a", "class_b", "voxels", "share")
    assert ("A", "B", "glass", "solid", 1, pytest.approx(1 / 3)) in rows
    turned = [Case(**{**vars(c), "masks": dict(reversed(list(c.masks.items())))}) for c in CASES]
    np.testing.assert_array_equal(analyse(turned, info=INFO).confusion[0].voxels, table.voxels)
    nobody = analyse(CASES, info=DatasetInfo("toy", 2, LABELS, (0.0, 1.0), stable_raters=False))
    (both,) = nobody.confusion
    assert (both.rater_a, both.rater_b) == (None, None)
    np.testing.assert_array_equal(both.voxels, table.voxels + table.voxels.T)
    assert nobody.tables()["confusion"].rows[0][:2] == ("any", "another")


@pytest.mark.filterwarnings("ignore:W_SINGLE_RATER")
def test_one_rater_is_null_and_never_one():
    report = analyse([case("c", "p", A=[1, 1, 0, 0, 0, 0])], info=INFO)
    for votes in report.votes:
        for figure in (votes.complete_agreement, votes.fleiss_kappa, votes.krippendorff_alpha_pooled):
            assert math.isnan(figure.value)
            assert figure.n == 0
    assert report.confusion == ()
    assert report.disagreement.class_share.n == 0
    assert report.to_dict()["fleiss_kappa"] == {"value": None, "low": None, "high": None, "n": 0}
