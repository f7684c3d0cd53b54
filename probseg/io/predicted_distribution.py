"""All that ``probseg predict`` wrote of one case: probabilities, maps, readings, and the volume of every draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.predicted import PredictedCase, check_digest, read_json
from probseg.io.volumes import read_map, read_mask
from probseg.labels import LabelSet

__all__ = ["UNCERTAINTY_MAPS", "PredictedDistribution", "read_distribution"]

UNCERTAINTY_MAPS = ("entropy", "epistemic", "ambiguity", "noise")
"""In nats; the first is the sum of the other three."""


@dataclass(frozen=True, eq=False)
class PredictedDistribution:
    """A prediction as it lies on disk, in the classes of the dataset that it is compared in.

    Attributes:
        mean: ``(classes, *space)`` float32 probabilities; 0 for a class that the model does not know.
        mode: ``space`` dense labels, the most probable class of the mean.
        readings: ``(readings, *space)`` dense labels; none where ``probseg predict --readings`` was not given.
        maps: the four of `UNCERTAINTY_MAPS`, each ``space`` float32, nats.
        num_draws: draws that the mean was taken over.
        draws_ml: ``(draws, structures)`` mL in the order of ``labels.structures``; 0 for a class that the model does
            not know, NaN where the size of a voxel is not known.
    """

    mean: NDArray[np.float32]
    mode: NDArray[np.uint8]
    readings: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    num_draws: int
    draws_ml: NDArray[np.float64]


def read_distribution(predicted: PredictedCase, geometry: Geometry, labels: LabelSet) -> PredictedDistribution:
    """Read a prediction onto the grid of its case.

    Args:
        predicted: of `probseg.io.predicted.open_predictions`.
        geometry: of the case.
        labels: of the dataset.

    Raises:
        ProbsegError: E_FILE_MISSING without probabilities or maps, E_CORRUPT where a file is not the one that the run
            finished, E_CLASS_MISMATCH for a class that the dataset does not have, and the codes of
            `probseg.io.volumes.read_map`.
    """
    folder, digests = predicted.path.parent, dict(predicted.files)
    what = f"the prediction of case '{predicted.case_id}'"

    def checked(name: str) -> Path:
        if name not in digests:
            raise ProbsegError("E_FILE_MISSING", f"{what} has no {name}; predict it again with --format nifti")
        check_digest(folder / name, digests[name], what)
        return folder / name

    summary = read_json(checked("summary.json"))
    try:
        names = [str(name) for name in summary["classes"]]
        num_draws = int(summary["draws"])
        volumes = {str(v["class"]): [_number(ml) for ml in v["draws_ml"]] for v in summary["volumes"]}
        if any(len(ml) != num_draws for ml in volumes.values()):
            raise ValueError(f"volumes must be of {num_draws} draws")
    except (KeyError, TypeError, ValueError) as error:
        raise ProbsegError("E_SCHEMA", f"{what}: summary.json is not what probseg predict writes: {error!r}") from error
    mean = _in_classes_of(labels, read_map(checked("probability.nii.gz"), geometry, what), names, what)
    mode = labels.encode(read_mask(checked("mode.nii.gz"), geometry, what), what)
    readings = np.zeros((0, *geometry.shape), dtype=np.uint8)
    if "readings.nii.gz" in digests:
        values = read_map(checked("readings.nii.gz"), geometry, what)
        values = values[None] if values.ndim == geometry.dimensions else values  # of one reading the axis is lost
        readings = np.stack([labels.encode(reading, what) for reading in values])
    return PredictedDistribution(
        mean,
        mode,
        readings,
        {name: read_map(checked(f"{name}.nii.gz"), geometry, what) for name in UNCERTAINTY_MAPS},
        num_draws,
        _draws_ml(labels, volumes, num_draws),
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _in_classes_of(
    labels: LabelSet, given: NDArray[np.float32], names: Sequence[str], what: str
) -> NDArray[np.float32]:
    strange = [name for name in names if name not in labels.names]
    if strange or len(names) != len(given):
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"{what} has {len(given)} classes, {', '.join(names)}, but the dataset has {', '.join(labels.names)}; "
            "predict with a model of these classes",
        )
    if list(names) == list(labels.names):
        return given
    mean = np.zeros((labels.num_classes, *given.shape[1:]), dtype=np.float32)
    for name, probability in zip(names, given, strict=True):
        mean[labels.names.index(name)] = probability
    return mean


def _draws_ml(labels: LabelSet, volumes: Mapping[str, Sequence[float]], num_draws: int) -> NDArray[np.float64]:
    """A group is the sum of its classes here, for the model's own group of this name may have others."""
    known = not np.isnan([ml for draws in volumes.values() for ml in draws]).any()
    nothing = [0.0 if known else math.nan] * num_draws
    leaves = np.array([nothing, *(volumes.get(name, nothing) for name in labels.names[1:])], dtype=np.float64)
    return np.stack([leaves[labels.members(name)].sum(axis=0) for name in labels.structures], axis=1)
