"""Folders read back: a study from the disk draws what the study itself draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from probseg.analysis import analyse
from probseg.analysis.case_agreement import PREDICTION
from probseg.analysis.drawn_volumes import MEAN_RATER
from probseg.analysis.study import Study
from probseg.errors import ProbsegError
from probseg.io.predicted import open_predictions
from probseg.manifest import open_dataset
from probseg.report import plots
from probseg.report.inputs import gather_inputs
from probseg.report.stored_agreement import StoredAgreement, read_agreement
from probseg.report.stored_evaluation import read_evaluation
from probseg.report.volume_points import read_volumes, volume_points


@pytest.fixture(scope="module")
def made(study: dict[str, Path]) -> Study:
    dataset = open_dataset(study["dataset"])
    return analyse(dataset, open_predictions(study["predictions"], dataset.info.labels)).study


@pytest.fixture(scope="module")
def stored(study: dict[str, Path]) -> StoredAgreement:
    return read_agreement(study["agreement"])


def shown(axes: Axes) -> tuple[list[str], list[np.ndarray]]:
    """Every text and number that axes hold."""
    texts = [axes.get_title(loc="left"), axes.get_xlabel(), *(t.get_text() for t in axes.texts)]
    texts += [t.get_text() for t in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    numbers = [np.asarray(line.get_xydata()) for line in axes.lines]
    numbers += [np.ma.filled(image.get_array(), np.nan) for image in axes.images]
    return texts, [*numbers, *(np.asarray(c.get_offsets()) for c in axes.collections)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda s, a: plots.pair_heat_map(s, a, "opacity"),
        lambda s, a: plots.confusion(s, a, "rater-1"),
        lambda s, a: plots.bland_altman(s, a, "opacity", PREDICTION, MEAN_RATER),
        lambda s, a: plots.volumes_by_rater(s, a, "opacity"),
        lambda s, a: plots.ceiling(s, a),
    ],
    ids=["pairs", "confusion", "bland-altman", "volumes", "ceiling"],
)
def test_a_study_from_the_disk_draws_the_same(
    made: Study, stored: StoredAgreement, draw: Callable[[object, Axes], Axes]
) -> None:
    (texts, numbers), (others, their) = (shown(draw(s, Figure().add_subplot())) for s in (made, stored.figures))
    assert texts == others and len(numbers) == len(their) > 0
    for own, other in zip(numbers, their, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4)  # tables have six digits


def test_the_evaluation_knows_model_and_raters(study: dict[str, Path]) -> None:
    found = read_evaluation(study["evaluation"])
    data = json.loads((study["evaluation"] / "evaluation.json").read_text())
    of = {(f["family"], f["metric"], f["class"], f["site"]): f for f in data["figures"]}
    assert found.of_model("dice").value == of[data["family"], "dice", "", ""]["value"]
    assert found.of_raters("dice").value == of["raters", "dice", "", ""]["value"]
    assert math.isnan(found.of_raters("no_such_figure").value) and "opacity" in found.structures


def test_predicted_volumes_stand_beside_the_raters(study: dict[str, Path], stored: StoredAgreement) -> None:
    inputs = gather_inputs([study["predictions"], study["dataset"]])
    (predictions,) = inputs.predictions
    points = volume_points(stored.figures, read_volumes(study["predictions"], predictions.case_ids), "opacity")
    assert points.case_ids == predictions.case_ids
    summary = json.loads((study["predictions"] / points.case_ids[0] / "summary.json").read_text())
    own = next(v for v in summary["volumes"] if v["class"] == "opacity")
    assert points.mean[0] == own["mean_ml"] and [points.low[0], points.high[0]] == own["intervals_ml"]["95"]
    assert (points.raters_low <= points.raters_mean).all() and (points.raters_mean <= points.raters_high).all()
    assert volume_points(stored.figures, {}, "opacity").case_ids == ()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("evaluation.json", "{", "E_PARSE"),
        ("evaluation.json", '{"figures": []}', "E_SCHEMA"),
        ("evaluation.json", "[]", "E_SCHEMA"),
    ],
)
def test_an_evaluation_that_is_none_is_refused(
    study: dict[str, Path], tmp_path: Path, name: str, text: str, code: str
) -> None:
    for path in study["evaluation"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(text)
    with pytest.raises(ProbsegError, match=code):
        read_evaluation(tmp_path)


def test_folders_are_told_apart_by_what_lies_in_them(study: dict[str, Path], make_run: Callable[..., Path]) -> None:
    inputs = gather_inputs([*study.values(), make_run("ensemble", "Ensemble"), study["dataset"]])
    counts = [len(x) for x in (inputs.runs, inputs.agreements, inputs.evaluations, inputs.predictions)]
    assert counts == [1, 1, 1, 1] and len(inputs.datasets) == 1
    assert inputs.predictions[0].dataset is inputs.datasets[0] and len(inputs.predictions[0].cases) == 3
    alone = gather_inputs([study["predictions"]]).predictions[0]
    assert alone.dataset is None and not alone.cases and len(alone.case_ids) == 3
