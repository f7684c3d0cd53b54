"""What ``summary.json`` says of a scan: its volumes, how unsure the model is, and what made all of it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from probseg.inference.input_hashes import grid_sha256, image_sha256
from probseg.inference.predictor import ScanPredictor
from probseg.inference.scan import ScanPrediction
from probseg.io.output_formats import DICOM
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS

__all__ = ["provenance", "scan_summary"]

_PACKAGES = ("probseg", "torch", "pytorch-lightning", "numpy", "nibabel")


def scan_summary(prediction: ScanPrediction, predictor: ScanPredictor) -> dict[str, Any]:
    """Plain types; `write_scan` adds the hashes of the files."""
    case, labels = prediction.case, prediction.labels
    inside = prediction.mode > 0
    uncertainty = {}
    for name in UNCERTAINTY_MAPS:
        values = getattr(prediction, name)
        found = float(values[inside].mean(dtype=np.float64)) if inside.any() else None
        uncertainty[name] = {"scan": float(values.mean(dtype=np.float64)), "foreground": found}
    spacing = case.geometry.spacing
    return {
        "case_id": case.case_id,
        "shape": list(case.geometry.shape),
        "spacing_mm": None if spacing is None else list(spacing),
        "classes": {c.name: c.value for c in labels.classes},
        "groups": {g.name: list(g.classes) for g in labels.groups},
        "draws": len(prediction.draw_counts),
        "precision": prediction.precision,
        "volumes": [v.to_dict(predictor.settings.promises) for v in prediction.volumes],
        "uncertainty_nats": uncertainty,
        "input_sha256": image_sha256(case.image),
        "grid_sha256": grid_sha256(case.geometry, case.source.geometry),
        **provenance(predictor),
    }


def provenance(predictor: ScanPredictor) -> dict[str, Any]:
    """What made the results, in plain types; no paths and nothing of a patient."""
    model = predictor.model
    dicom = ("pydicom", "highdicom") if DICOM in predictor.settings.formats else ()
    return {
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "checkpoint_sha256": predictor.checkpoint_sha256,
        "settings": predictor.settings.to_dict(),
        "versions": {name: _version(name) for name in (*_PACKAGES, *dicom)},
    }


@cache
def _version(package: str) -> str:
    """Looked up once: it takes longer than a small scan."""
    return version(package)
