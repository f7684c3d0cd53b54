from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from probseg.analysis import analyse
from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import CaseRecord, Dataset, DatasetInfo
from probseg.report import plots
from probseg.report.gallery import legend_of_raters, outlines, worst_cases, worst_gallery, worst_plane

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid")),),
)
INFO = DatasetInfo("toy", 3, LABELS, (-1000.0, 400.0))
GRID = Geometry((3, 12, 12), (2.0, 1.0, 1.0))
WIDTH = {"anna": 0, "bob": 2, "carl": -1}


def case(k):
    """On slice 1 a block whose width depends on the rater; bob calls it solid in every third case."""
    masks = {}
    for rater, more in WIDTH.items():
        mask = np.zeros(GRID.shape, np.uint8)
        mask[1, 2:9, 2 : 6 + k % 3 + more] = 2 if rater == "bob" and k % 3 == 0 else 1
        masks[rater] = mask
    image = np.full(GRID.shape, -800, np.int16)
    return Case(f"c{k:02d}", f"p{k}", "", image, masks, GRID)


CASES = {f"c{k:02d}": case(k) for k in range(9)}
DATASET = Dataset(INFO, tuple(CaseRecord(c, c, "", "", "", ()) for c in CASES), lambda record: CASES[record.case_id])
REPORT = analyse(DATASET, {c: CASES[c].masks["anna"] for c in CASES}, samples=100)
STUDY = REPORT.study


@pytest.fixture
def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    yield figure.subplots()
    figure.canvas.draw()  # whatever was drawn can be rendered


def test_the_heat_map_holds_mean_dice(axes):
    assert plots.pair_heat_map(STUDY, axes, "opacity") is axes
    shown = axes.images[0].get_array()
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == ["anna", "bob", "carl", "prediction"]
    dice = [p.dice for c in REPORT.cases for p in c.pairs if (p.rater_b, p.structure) == ("bob", "opacity")]
    assert shown[0, 1] == shown[1, 0] == pytest.approx(np.mean(dice))
    assert shown[0, 3] == 1.0  # the model copies anna
    assert np.isnan(shown[0, 0]) or shown.mask[0, 0]


def test_the_confusion_of_a_rater(axes):
    plots.confusion(STUDY, axes, "bob")
    classes = [t.get_text() for t in axes.get_yticklabels()]
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares.sum(axis=1)[[0, 1]], 1.0)
    card = next(c for c in STUDY.raters if c.rater == "bob")
    cell = next(c for c in card.confusion if (c.truth, c.is_class, c.called) == ("others", "glass", "solid"))
    assert shares[classes.index("glass"), classes.index("solid")] == pytest.approx(cell.share.value)
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER"):
        plots.confusion(STUDY, axes, "dora")


def test_bland_altman_lines_are_bias_and_limits(axes):
    plots.bland_altman(STUDY, axes, "opacity", "bob", "carl")
    found = next(p for p in STUDY.volume_pairs if (p.structure, p.party_a, p.party_b) == ("opacity", "bob", "carl"))
    a = found.agreement
    levels = sorted({line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.2})
    assert levels == pytest.approx(sorted({a.low, a.bias, a.high}))
    assert len(axes.collections[0].get_offsets()) == 9
    for wrong, code in ((("lung", "bob", "carl"), "E_UNKNOWN_LABEL"), (("opacity", "bob", "dora"), "E_UNKNOWN_RATER")):
        with pytest.raises(ProbsegError, match=code):
            plots.bland_altman(STUDY, axes, *wrong)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        plots.bland_altman(STUDY, axes, "opacity", "bob", "carl", "percent_of_lung")


def test_volumes_by_rater_leave_out_what_has_no_logarithm(axes):
    plots.volumes_by_rater(STUDY, axes, "solid")
    # bob drew solid in three cases, everybody else nothing
    assert axes.get_xlabel() == f"{4 * 9 - 3} volumes of 0 are not shown"
    assert axes.get_yscale() == "log"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["anna", "bob", "carl", "prediction"]


def test_agreement_by_size_has_a_point_a_case(axes):
    plots.agreement_by_size(STUDY, axes, "opacity")
    assert len(axes.collections[0].get_offsets()) == 9
    assert axes.get_xlabel().endswith("mL")


def test_the_ceiling_shows_rater_and_model(axes):
    plots.ceiling(STUDY, axes)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["glass", "solid", "opacity"]
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        plots.ceiling(analyse(DATASET, samples=10).study, axes)


def test_pictures_of_single_raters_need_identities(axes):
    nobody = analyse(list(CASES.values()), info=replace(INFO, stable_raters=False), samples=10).study
    for draw in (
        lambda: plots.pair_heat_map(nobody, axes, "opacity"),
        lambda: plots.confusion(nobody, axes, "bob"),
        lambda: plots.volumes_by_rater(nobody, axes, "opacity"),
        lambda: plots.bland_altman(nobody, axes, "opacity", "bob", "carl"),
    ):
        with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER"):
            draw()


def test_the_gallery_begins_with_the_worst():
    by_case = {c.case_id: np.mean([p.dice for p in c.pairs if p.structure == "opacity"]) for c in REPORT.cases}
    assert worst_cases(STUDY, 3) == sorted(by_case, key=lambda c: (by_case[c], c))[:3]
    assert worst_plane(CASES["c00"], LABELS, "opacity") == 1
    figure = Figure()
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(3, 4).ravel()
    worst_gallery(STUDY, DATASET, list(all_axes))
    figure.canvas.draw()
    titles = [a.get_title(loc="left") for a in all_axes]
    assert titles[:9] == [f"{c}, slice 2 of 3" for c in worst_cases(STUDY, 9)]
    assert titles[9:] == ["", "", ""]


def test_outlines_of_one_structure_and_of_a_single_image(axes):
    outlines(CASES["c00"], axes, INFO, "solid")
    assert len(axes.collections) == 1  # bob alone drew it
    flat = Geometry((12, 12), None)
    masks = {r: m[1] for r, m in CASES["c00"].masks.items()}
    single = Case("s", "s", "", np.zeros((0, 12, 12), np.int16), masks, flat)
    outlines(single, axes, replace(INFO, dimensions=2))
    assert axes.get_title(loc="left") == "s"
    legend_of_raters(single, axes)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list(WIDTH)
