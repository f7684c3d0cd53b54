"""A prediction as DICOM objects beside the series that it was made of.

An object must belong to a patient, a study and a frame of reference. A scan that came as NIfTI has none of them, and an
object with invented ones would hang in an archive beside nobody's images; so such a scan is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from probseg.analysis.volumes import lung_parts
from probseg.case import Case, reorient
from probseg.errors import ProbsegError, warn
from probseg.inference.colours import class_colours
from probseg.inference.scan import ScanPrediction
from probseg.io.atomic import write_bytes
from probseg.io.dicom_objects import (
    Maker,
    MapQuantity,
    MeasuredVolume,
    SegmentLabel,
    SeriesLabel,
    SourceSeries,
    VolumeInterval,
    binary,
    encoded,
    fractional,
    label_map,
    parametric_map,
    parse_code,
    read_source,
    volume_report,
)
from probseg.io.dicom_objects.concepts import ABNORMAL, ANATOMICAL, LESION, LUNG
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.labels import LabelSet

__all__ = ["require_series", "segment_labels", "write_dicom"]

_MAPS = {
    "entropy": "Uncertainty, total: entropy of the mean probability",
    "epistemic": "Uncertainty of the model: its draws of weights differ",
    "ambiguity": "Uncertainty of raters: readings of one model differ",
    "noise": "Uncertainty left within one reading",
}
_LEVEL = "95"  # percent, of the intervals in the report
_WITHOUT_EFFECT = ("formats", "readings")  # settings that change no object


def require_series(case: Case, labels: LabelSet) -> None:
    """Refuse a scan of which no DICOM object can be made, before anything is predicted.

    Raises:
        ProbsegError: E_NO_DICOM for a scan that came from elsewhere, E_DICOM_CORRUPT where its headers do not do,
            E_AFFINE_MISMATCH where it is no longer the series that was read, E_SCHEMA for a code that is none.
    """
    segment_labels(labels)
    if not _series(case, labels).framed:
        warn(
            "W_NO_FRAME_OF_REFERENCE",
            f"the images of scan '{case.case_id}' name no frame of reference; its DICOM objects have one of their own",
        )


def _series(case: Case, labels: LabelSet) -> SourceSeries:
    try:
        source = read_source(case.source.path, case.source.series, single=case.geometry.dimensions == 2)
    except ProbsegError as error:
        raise ProbsegError(error.code, f"scan '{case.case_id}' as DICOM: {error.message}") from error
    stored = case.source.geometry
    moved = stored is not None and stored.dimensions == 3 and not source.geometry.close_to(stored)
    if moved or source.geometry.shape[-2:] != (stored or case.geometry).shape[-2:]:
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"the series of scan '{case.case_id}' is not the image that was read; predict it from the DICOM folder",
        )
    labelled_lung = lung_parts(labels) is not None
    return replace(source, body_part="CHEST") if labelled_lung and not source.body_part else source


def segment_labels(labels: LabelSet) -> list[SegmentLabel]:
    """A segment a foreground class.

    Its type is the code of the class. Without one, a class of the group or class ``lung`` that is no ``opacity`` is
    Lung (SCT 39607008), and any other is Lesion (SCT 52988006). The category of the former is Anatomical Structure, of
    the latter Morphologically Abnormal Structure.
    """
    lung = lung_parts(labels)
    healthy = np.zeros(labels.num_classes, dtype=bool)
    if lung is not None:
        healthy = lung.whole if lung.aerated is None else lung.aerated
    found = []
    for k, (item, colour) in enumerate(zip(labels.classes[1:], class_colours(labels), strict=True), start=1):
        default = LUNG if healthy[k] else LESION
        kind = default if item.code is None else parse_code(item.code, item.name)
        found.append(SegmentLabel(item.name, ANATOMICAL if healthy[k] else ABNORMAL, kind, colour))
    return found


def write_dicom(folder: Path, prediction: ScanPrediction, summary: Mapping[str, Any]) -> None:
    """Write every object of a scan into its folder, one after the other.

    Args:
        folder: of the scan.
        prediction: whose case came from a DICOM series.
        summary: of `probseg.inference.summary.scan_summary`; says what made the prediction, and its volumes.
    """
    source = _series(prediction.case, prediction.labels)
    for name, item in _objects(prediction, summary, source):
        write_bytes(folder / name, encoded(item))


def _objects(
    prediction: ScanPrediction, summary: Mapping[str, Any], source: SourceSeries
) -> Iterator[tuple[str, Dataset]]:
    maker = _maker(summary, source)
    segments = segment_labels(prediction.labels)

    def planes(array: NDArray) -> NDArray:
        """An array of the canonical grid on the planes of the series."""
        if prediction.case.geometry.dimensions == 2:
            return array[None]
        return reorient(array, prediction.case.geometry, source.geometry.direction)[0]

    mode = planes(prediction.mode)
    chosen = binary(source, mode, segments, maker, SeriesLabel("mode", 1, "Most probable class", "MODE"))
    yield "segmentation.dcm", chosen
    label = SeriesLabel("label_map", 2, "Most probable class, label map", "MODE_LABELMAP")
    yield "segmentation_labelmap.dcm", label_map(source, mode, segments, maker, label)
    label = SeriesLabel("probability", 3, "Probability of each class", "PROBABILITY")
    yield "probability.dcm", fractional(source, [planes(p) for p in prediction.mean[1:]], segments, maker, label)
    for k, name in enumerate(UNCERTAINTY_MAPS):
        quantity = MapQuantity(name, _MAPS[name], math.log(prediction.labels.num_classes))
        label = SeriesLabel(name, 4 + k, _MAPS[name], name.upper())
        file = "uncertainty.dcm" if name == "entropy" else f"uncertainty_{name}.dcm"
        yield file, parametric_map(source, planes(getattr(prediction, name)), quantity, maker, label)
    label = SeriesLabel("report", 8, "Volumes and their intervals", "VOLUMES")
    yield "report.dcm", volume_report(source, chosen, _volumes(summary, segments), maker, label)


def _maker(summary: Mapping[str, Any], source: SourceSeries) -> Maker:
    settings = {key: value for key, value in summary["settings"].items() if key not in _WITHOUT_EFFECT}
    terms = [
        *(summary[key] for key in ("input_sha256", "model", "checkpoint_sha256", "versions")),
        settings,
        source.header.SeriesInstanceUID,
        list(source.images),
    ]
    return Maker(
        version=summary["versions"]["probseg"],
        model=str(summary["model"]).rpartition(".")[2],
        checkpoint_sha256=summary["checkpoint_sha256"],
        identity=json.dumps(terms, sort_keys=True),
        parameters=(("draws", str(summary["draws"])), ("seed", str(settings.get("seed", "")))),
    )


def _volumes(summary: Mapping[str, Any], segments: list[SegmentLabel]) -> list[MeasuredVolume]:
    """Volumes as the summary has them, so that both say the same."""
    numbers = {segment.name: (k, segment.kind) for k, segment in enumerate(segments, start=1)}
    found = []
    for volume in summary["volumes"]:
        name = volume["class"]
        number, kind = numbers.get(name, (None, LUNG if name.casefold() in ("lung", "lungs") else LESION))
        low, high = volume["intervals_ml"][_LEVEL]
        intervals = [VolumeInterval(f"{_LEVEL} % interval", _LEVEL, _number(low), _number(high))]
        if _LEVEL in volume.get("conformal_ml", {}):
            low, high = volume["conformal_ml"][_LEVEL]
            called = f"{_LEVEL} % conformal interval"
            intervals.append(VolumeInterval(called, f"{_LEVEL}_conf", _number(low), _number(high)))
        found.append(
            MeasuredVolume(name, kind, number, _number(volume["mean_ml"]), _number(volume["mode_ml"]), tuple(intervals))
        )
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
