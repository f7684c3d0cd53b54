"""The card says what is known, in the layout that Hugging Face reads, and what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from probseg.data.synthetic import generate, write
from probseg.errors import ProbsegError
from probseg.exporting import About, export_model, facts_of, read_about
from probseg.exporting.model_card import model_card
from probseg.exporting.onnx_file import OnnxFile
from probseg.exporting.run_facts import RunFacts
from probseg.models import load_model
from probseg.models.checkpoints import read_checkpoint
from tests.exporting.conftest import FAMILIES, LOW_RANK, made, saved

RESULTS = """\
family,metric,value,low,high,n,site,class
stochastic_segmentation,ged_v,0.25,0.2,0.3,2,,
stochastic_segmentation,hm_iou,,,,0,,
stochastic_segmentation,ged_v,0.5,0.4,0.6,1,north,
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients in two splits."""
    cases = generate(4, seed=4, shape=(2, 32, 32))
    return write(cases, tmp_path_factory.mktemp("synthetic") / "ct", seed=0, shares=(0.5, 0, 0, 0.5), with_truth=False)


def trained(folder: Path, dataset: Path) -> Path:
    """A run folder with everything that a card can tell of."""
    saved(made(LOW_RANK), folder)
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"root": str(dataset)}}))
    (folder / "training.json").write_text('{"seed": 7, "steps": 30, "warm_start": null, "train_seconds": 12.5}')
    (folder / "results.csv").write_text(RESULTS)
    return folder


def test_a_card_of_a_whole_run(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset)
    checkpoint = run / "checkpoints" / "best.ckpt"
    model = load_model(run)
    assert model.info is not None
    facts = facts_of(run, model.info, None, read_checkpoint(checkpoint))
    about = About("toy", "A toy.", "For play.", "Not for work.", "Made up.", "cc0-1.0", "Nobody 2020.", "Much more.")
    export_model(model, checkpoint, facts, about, tmp_path / "out", onnx=False)
    _, front, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["license"], head["library_name"], head["pipeline_tag"]) == ("cc0-1.0", "probseg", "image-segmentation")
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "ged_v", "value": 0.25}]  # of all sites, and no figure that is not defined
    assert result["dataset"] == {"type": "synthetic-ct", "name": "synthetic-ct", "split": "test"}
    titles = [line for line in body.splitlines() if line.startswith("#")]
    assert titles == [
        "# toy",
        *(f"## {t}" for t in ("Intended use", "Limits", "Model", "Data", "Training", "Results", "Calibration")),
        *(f"## {t}" for t in ("Files", "Use", "Licence", "Citation")),
    ]
    for text in ("For play.", "Not for work.", "Made up.", "Nobody 2020.", "Much more.", "not a medical device"):
        assert text in body
    sites = ", ".join(sorted({r.site for r in facts_records(dataset, "train")}))
    assert f"| train | 2 | 2 | 4 | {sites} |" in body and "| test | 2 | 2 | 4 |" in body
    assert "No patient is in two splits." in body
    assert "- seed: 7" in body and "- began from other weights: no" in body
    assert "| `ged_v` | 0.2500 | 0.2000 to 0.3000 | 2 |" in body and "hm_iou" not in body
    assert str(tmp_path) not in body and str(dataset) not in body


def facts_records(dataset: Path, split: str) -> list:
    from probseg.manifest import open_dataset

    return [r for r in open_dataset(dataset).records if r.split == split]


def test_a_card_of_which_nothing_is_known(tmp_path: Path) -> None:
    checkpoint = saved(made(LOW_RANK), tmp_path / "run")
    model = load_model(checkpoint)
    assert model.info is not None
    with pytest.warns(UserWarning, match="W_NO_") as caught:
        facts = facts_of(tmp_path / "run", model.info, None, read_checkpoint(checkpoint))
    assert {str(w.message).split(":")[0] for w in caught} == {"W_NO_DATA", "W_NO_RESULTS"}
    assert (facts.splits, facts.result) == ((), None)
    card = model_card(
        model, {"family": "StochasticSegmentation", "model": {}, "weights_sha256": ""}, facts, About(), None, {}
    )
    assert card.count("Nobody has said") == 3 and "license" not in card.split("---")[1]
    assert "How many cases there were is not recorded" in card and "was not tested" in card


def test_another_dataset_is_not_the_runs(dataset: Path, tmp_path: Path) -> None:
    checkpoint = saved(made(LOW_RANK), tmp_path / "run")
    model = load_model(checkpoint)
    assert model.info is not None
    with pytest.raises(ProbsegError, match=r"E_CLASS_MISMATCH.*lidc-sample"):
        facts_of(tmp_path / "run", model.info, Path("lidc-sample"), read_checkpoint(checkpoint))
    with pytest.warns(UserWarning, match="W_NO_RESULTS"):
        facts = facts_of(tmp_path / "run", model.info, dataset, read_checkpoint(checkpoint))
    assert [(s.name, s.patients) for s in facts.splits] == [("train", 2), ("test", 2)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dropout", "no channel dropped"),
        ("swag", "mean of its weights"),
        ("augmented", "without the changed images"),
        ("styles", "one reading a rater"),
        ("low rank", "whole model but for its random numbers"),
    ],
)
def test_it_says_what_the_graph_computes(name: str, words: str) -> None:
    model = made(FAMILIES[name])
    description = {"family": "X", "model": {"class_path": "X"}, "weights_sha256": ""}
    card = model_card(model, description, RunFacts(), About(), OnnxFile(20, 3, 2e-7, ("rows", "columns")), {})
    assert words in card and "`noise` `(readings, 3)`" in card and "2.0e-07 (at most 0.0001 passes)" in card


def test_texts_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "about.yaml"
    for text in ("nmae: toy", "- toy", "licence: [a, b]", "limits: 3"):
        path.write_text(text)
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            read_about(path)
    path.write_text("name: toy\nlicence: |\n  cc0-1.0\n")
    assert read_about(path) == About(name="toy", licence="cc0-1.0")
