"""What ``probseg predict`` wrote, read back beside the masks of raters: one label map a case, and how unsure it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.digest import file_sha256
from probseg.io.guard import file_size
from probseg.io.volumes import read_mask
from probseg.labels import LabelSet
from probseg.records import Dataset, check_case_id

__all__ = ["PredictedCase", "check_digest", "open_predictions", "predictions_of", "read_json"]

_MODE = "mode.nii.gz"


@dataclass(frozen=True)
class PredictedCase:
    """The prediction of one case, not yet read; small enough to be sent to another process.

    Attributes:
        case_id: of the case.
        path: its label map of file values.
        sha256: of that file, as the run's manifest has it.
        entropy_voxels: entropy of the mean distribution summed over the voxels, nats.
        files: name and SHA-256 of every file of the case in the run's manifest.
        num_draws: that the model took; 0 where the run does not say.
    """

    case_id: str
    path: Path
    sha256: str
    entropy_voxels: float
    files: tuple[tuple[str, str], ...] = ()
    num_draws: int = 0

    def read(self, geometry: Geometry, labels: LabelSet) -> NDArray[np.uint8]:
        """Dense labels on the grid of the case.

        Raises:
            ProbsegError: E_CORRUPT where the file is not the one that the run finished, and the codes of
                `probseg.io.volumes.read_mask` and `LabelSet.encode`.
        """
        what = f"the prediction of case '{self.case_id}'"
        check_digest(self.path, self.sha256, what)
        return labels.encode(read_mask(self.path, geometry, what), what)


def check_digest(path: Path, sha256: str, what: str) -> None:
    """E_CORRUPT where a file is not the one that a manifest lists; ``what`` names it."""
    file_size(path)
    if file_sha256(path) != sha256:
        raise ProbsegError("E_CORRUPT", f"{what} ('{path}') is not the file that manifest.json lists; predict it again")


def open_predictions(folder: str | Path, labels: LabelSet) -> dict[str, PredictedCase]:
    """List the finished predictions of a run by case id.

    Args:
        folder: what ``probseg predict --out`` wrote.
        labels: of the dataset that they are compared in; a model that gives one of its values another name is refused.

    Raises:
        ProbsegError: E_FILE_MISSING without manifest.json or without label maps as NIfTI, E_PARSE or E_SCHEMA where it
            or a summary is not what ``probseg predict`` writes, E_CLASS_MISMATCH for other classes.
    """
    root = Path(folder)
    if not (root / "manifest.json").is_file():
        raise ProbsegError(
            "E_FILE_MISSING", f"'{root}' has no manifest.json; give the folder that probseg predict --out finished"
        )
    manifest, path = read_json(root / "manifest.json"), root / "manifest.json"
    try:
        scans = {
            check_case_id(str(scan["case_id"])): {str(n): str(sha256) for n, sha256 in scan["files"].items()}
            for scan in manifest["scans"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what probseg predict writes: {error!r}") from error
    without = next((case_id for case_id, files in scans.items() if _MODE not in files), None)
    if without is not None:
        raise ProbsegError(
            "E_FILE_MISSING",
            f"'{root}' has no {_MODE} of case '{without}'; predict it again with nifti among its --format",
        )
    return {case_id: _predicted(root / case_id, case_id, files, labels) for case_id, files in scans.items()}


def predictions_of(folder: str | Path, dataset: Dataset) -> dict[str, PredictedCase]:
    """The finished predictions of the cases of a dataset by case id.

    Raises:
        ProbsegError: E_SCHEMA where one belongs to no case of the dataset, and the codes of `open_predictions`.
    """
    found = open_predictions(folder, dataset.info.labels)
    strange = sorted(set(found) - {record.case_id for record in dataset.records})
    if strange:
        raise ProbsegError("E_SCHEMA", f"a prediction is given for '{strange[0]}', but no case has this id")
    return found


def _predicted(folder: Path, case_id: str, files: Mapping[str, str], labels: LabelSet) -> PredictedCase:
    path = folder / "summary.json"
    summary = read_json(path)
    try:
        _check_classes(summary["classes"], labels, path)
        mean = float(summary["uncertainty_nats"]["entropy"]["scan"])
        voxels = math.prod(int(n) for n in summary["shape"])
        num_draws = int(summary.get("draws", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what probseg predict writes: {error!r}") from error
    return PredictedCase(case_id, folder / _MODE, files[_MODE], mean * voxels, tuple(files.items()), num_draws)


def _check_classes(classes: Mapping[str, int], labels: LabelSet, path: Path) -> None:
    """A value must have one name; a model may know fewer classes than the raters, or more."""
    known = {c.value: c.name for c in labels.classes}
    for name, value in classes.items():
        if known.get(value, name) != name:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"in '{path}' the value {value} is '{name}', but the dataset calls it '{known[value]}'; predict with a "
                "model of these classes",
            )


def read_json(path: Path) -> dict[str, Any]:
    """An object; E_PARSE or E_SCHEMA where the file holds none."""
    file_size(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must hold an object, as probseg predict writes it")
    return data
