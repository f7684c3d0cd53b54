"""A run's calibrator: the cases that it may be fitted on, the fit, and what it does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from probseg.batch import collate
from probseg.calibrators import Calibrator, Sizes, gather, marginal_nll
from probseg.data.datamodule import MultiRaterData
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.io.strict_yaml import read_yaml
from probseg.metrics import FullCalibration
from probseg.models import SegmentationModule
from probseg.progress import followed

__all__ = ["Fit", "calibration_data", "fit_calibrator", "measure_calibration"]

_OF_THE_RUN = ("root", "slices", "sites", "store", "num_workers")


@dataclass(frozen=True)
class Fit:
    """What a calibrator was fitted on, and the objective in nats before and after.

    Attributes:
        sizes: of the model.
        cases: images that gave voxels.
        patients: of all images of the split.
        trials: rated (voxel, rater) pairs.
        before, after: `marginal_nll`.
    """

    sizes: Sizes
    cases: int
    patients: int
    trials: int
    before: float
    after: float


def calibration_data(
    run: Path, split: str = "calibration", root: str | None = None, sites: Sequence[str] | None = None
) -> MultiRaterData:
    """The data of a run, or another dataset, in which a split may be fitted on.

    Args:
        run: the run folder, whose ``config.yaml`` names its data.
        split: ``calibration``, or ``validation``.
        root: another dataset; None for the run's.
        sites: only these; None for those of the run.

    Raises:
        ProbsegError: E_CALIBRATION_SPLIT for the splits train and test, E_NO_CALIBRATION_CASES where the dataset has no
            case in the split, E_SPLIT_LEAK where a patient of it is in the run's test; the codes of `MultiRaterData`.
    """
    if split not in ("calibration", "validation"):
        why = {
            "test": "the test would then be of cases that the calibrator was fitted on",
            "train": "a model is surer of cases that it was trained on than of any others",
        }
        raise ProbsegError(
            "E_CALIBRATION_SPLIT", f"a calibrator is not fitted on the split {split}: {why.get(split, 'unknown')}"
        )
    own = _settings(run)
    given = own if sites is None else {**own, "sites": list(sites)}
    if root is not None:
        given = {**given, "root": root, "store": None, "sites": None if sites is None else list(sites)}
    data = MultiRaterData(**given)
    if not any(r.split == split for r in data.dataset.records):
        name = given["root"]
        raise ProbsegError(
            "E_NO_CALIBRATION_CASES",
            f"dataset '{name}' has no case in the split {split}; deal its patients anew with probseg split {name} "
            "--overwrite, and train on what is then for training",
        )
    _refuse_test_cases(data, data if root is None else MultiRaterData(**own), split)
    return data


def _settings(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    if not path.is_file():
        raise ProbsegError("E_FILE_MISSING", f"'{run}' has no config.yaml that says what data it was trained on")
    config = read_yaml(path, finite=False)
    settings = config.get("data") if isinstance(config, Mapping) else None
    if not isinstance(settings, Mapping) or "root" not in settings:
        raise ProbsegError("E_SCHEMA", f"'{path}' does not say what data the run was trained on")
    return {name: settings[name] for name in _OF_THE_RUN if name in settings}


def _refuse_test_cases(data: MultiRaterData, tested: MultiRaterData, split: str) -> None:
    """No patient is fitted on and tested with; in another dataset, whose patients may only be called alike, no case."""
    same = data is tested
    test = {(r.patient_id, "" if same else r.case_id) for r in tested.dataset.records if r.split == "test"}
    for record in data.part(split).records:
        if (record.patient_id, "" if same else record.case_id) in test:
            raise ProbsegError(
                "E_SPLIT_LEAK",
                f"case '{record.case_id}' of patient '{record.patient_id}' would be fitted on, but the patient is in "
                "the run's test; split the dataset anew with probseg split",
            )


def fit_calibrator(
    calibrator: Calibrator, model: SegmentationModule, data: MultiRaterData, split: str, draws: Draws
) -> Fit:
    """Prepare a calibrator and fit it on a split.

    Args:
        calibrator: not prepared yet.
        model: in evaluation mode, bound to the label set of the data, without a calibrator.
        data: from `calibration_data`.
        split: to fit on.
        draws: of the model; their seed also chooses the voxels that are kept.
    """
    examples = data.examples(split)
    image = examples[0].image
    sizes = Sizes(model.num_classes, image.shape[0], image.ndim - 1)
    calibrator.prepare(sizes)
    each = followed((examples[k] for k in range(len(examples))), len(examples), "reading")

    def predict(x: torch.Tensor) -> Any:
        return model.uncalibrated(x, draws)

    sample = gather(each, len(examples), predict, model.admissible, calibrator.spatial, draws.seed)
    objective = []
    for step in (calibrator.eval, lambda: calibrator.fit(sample)):
        step()
        with torch.no_grad():
            objective.append(float(marginal_nll(calibrator(sample.distribution, sample.image), sample)))
    patients = len({entry.patient for entry in examples.entries})
    return Fit(sizes, sample.cases, patients, sample.trials, *objective)


def measure_calibration(
    calibrator: Calibrator, model: SegmentationModule, data: MultiRaterData, split: str, draws: Draws
) -> dict[str, FullCalibration]:
    """What all voxels of a split say of calibration ``before`` and ``after``."""
    examples, names = data.examples(split), data.info.labels.names
    parts = {name: FullCalibration(names, model.admissible) for name in ("before", "after")}
    for k in followed(range(len(examples)), len(examples), "measuring"):
        batch = collate([examples[k]])
        with torch.no_grad():
            before = model.uncalibrated(batch.image, draws)
            parts["before"].update(before, batch)
            parts["after"].update(calibrator(before, batch.image), batch)
    return parts
