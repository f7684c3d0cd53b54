"""What a page is made of, told apart by what lies in each folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.io.predicted import PredictedCase, predictions_of, read_json
from probseg.manifest import BUNDLED, open_dataset
from probseg.records import Dataset
from probseg.report.before_calibration import with_before
from probseg.report.reading import find_runs, load_run
from probseg.report.results import RunResult
from probseg.report.stored_agreement import StoredAgreement, is_agreement, read_agreement
from probseg.report.stored_evaluation import StoredEvaluation, is_evaluation, read_evaluation

__all__ = ["Inputs", "StoredPredictions", "gather_inputs"]


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """What ``probseg predict`` wrote.

    Attributes:
        folder: where.
        manifest: of the run.
        dataset: whose cases these are, of the datasets given; None where none of them is.
        cases: case id to prediction; empty without the dataset.
    """

    folder: Path
    manifest: Mapping[str, Any]
    dataset: Dataset | None
    cases: Mapping[str, PredictedCase]

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Of every finished prediction."""
        return tuple(str(scan["case_id"]) for scan in self.manifest["scans"])

    @property
    def model(self) -> str:
        """Class path of the model."""
        return str(self.manifest.get("model", "model"))


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that one page shows, in the order given."""

    runs: tuple[RunResult, ...] = ()
    agreements: tuple[StoredAgreement, ...] = ()
    evaluations: tuple[StoredEvaluation, ...] = ()
    predictions: tuple[StoredPredictions, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    names: tuple[str, ...] = field(default=())

    @property
    def all_runs(self) -> tuple[RunResult, ...]:
        """Tested runs and evaluations alike."""
        return (*self.runs, *(e.run for e in self.evaluations))

    def dataset(self, name: str) -> Dataset | None:
        """The dataset of this name, of those given."""
        return next((d for d in self.datasets if d.info.name == name), None)


def gather_inputs(folders: Sequence[str | Path]) -> Inputs:
    """Read folders of ``probseg agreement``, ``evaluate``, ``predict`` and ``test``, and datasets.

    A dataset gives the pictures: what raters drew of a case, and the scans to look at. Predictions are shown only
    beside the dataset that they are of.

    Raises:
        ProbsegError: E_FILE_MISSING where a folder is none of these, and the codes of the readers.
    """
    given = list(dict.fromkeys(Path(f) for f in folders))
    agreements = [f for f in given if is_agreement(f)]
    evaluations = [f for f in given if is_evaluation(f)]
    predicted = [f for f in given if f not in (*agreements, *evaluations) and _is_predictions(f)]
    datasets = [f for f in given if f not in (*agreements, *evaluations, *predicted) and _is_dataset(f)]
    rest = [f for f in given if f not in (*agreements, *evaluations, *predicted, *datasets)]
    opened = tuple(open_dataset(f) for f in datasets)
    return Inputs(
        tuple(load_run(folder) for folder in find_runs(rest)),
        tuple(read_agreement(f) for f in agreements),
        with_before([read_evaluation(f) for f in evaluations]),
        tuple(_predictions(f, opened) for f in predicted),
        opened,
        tuple(f.resolve().name for f in given),
    )


def _is_predictions(folder: Path) -> bool:
    path = folder / "manifest.json"
    return path.is_file() and "scans" in read_json(path)


def _is_dataset(path: Path) -> bool:
    if path.is_file() or (str(path) == BUNDLED and not path.exists()):
        return True
    return (path / "dataset.yaml").is_file() or len(list(path.glob("*.npz"))) == 1


def _predictions(folder: Path, datasets: Sequence[Dataset]) -> StoredPredictions:
    manifest = read_json(folder / "manifest.json")
    try:
        wanted = {str(scan["case_id"]) for scan in manifest["scans"]}
    except (KeyError, TypeError) as error:
        path = folder / "manifest.json"
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what probseg predict writes: {error!r}") from error
    own = next((d for d in datasets if wanted <= {r.case_id for r in d.records}), None)
    if own is None and datasets:
        names = ", ".join(f"'{d.info.name}'" for d in datasets)
        raise ProbsegError(
            "E_SCHEMA", f"the predictions in '{folder}' are of cases that {names} does not have; give their dataset"
        )
    return StoredPredictions(folder, manifest, own, {} if own is None else predictions_of(folder, own))
