"""The files of one scan: maps and readings as NIfTI, DICOM objects, a picture, and last of all the summary."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probseg.case import Case, Geometry
from probseg.errors import warn
from probseg.inference.predictor import ScanPredictor
from probseg.inference.preview import preview_png
from probseg.inference.scan import ScanPrediction
from probseg.io import nifti
from probseg.io.atomic import write_bytes, write_text
from probseg.io.digest import file_sha256
from probseg.io.output_formats import DICOM, NIFTI
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS

__all__ = ["SCAN_FILES", "SUMMARY", "voxel_grid", "write_json", "write_scan"]

SUMMARY = "summary.json"
SCAN_FILES = (
    "mode.nii.gz",
    "probability.nii.gz",
    *(f"{name}.nii.gz" for name in UNCERTAINTY_MAPS),
    "readings.nii.gz",
    "segmentation.dcm",
    "segmentation_labelmap.dcm",
    "probability.dcm",
    "uncertainty.dcm",
    *(f"uncertainty_{name}.dcm" for name in UNCERTAINTY_MAPS if name != "entropy"),
    "report.dcm",
    "preview.png",
)
"""All that may lie in the folder of a scan beside its summary, which holds their hashes."""


def write_scan(folder: Path, prediction: ScanPrediction, predictor: ScanPredictor, summary: dict[str, Any]) -> None:
    """Write the files of one scan into a folder; the summary last, with the hashes of the others in it.

    Args:
        folder: made if need be.
        prediction: of the scan.
        predictor: what predicted it.
        summary: of `scan_summary`.
    """
    info = predictor.model.info
    assert info is not None  # predict_scan needed it
    formats = predictor.settings.formats
    if NIFTI in formats:
        _write_nifti(folder, prediction)
    if DICOM in formats:
        # highdicom takes a second to import, and most runs do without
        from probseg.inference.dicom_outputs import write_dicom

        write_dicom(folder, prediction, summary)
    write_bytes(folder / "preview.png", preview_png(prediction, info))
    files = {name: file_sha256(folder / name) for name in SCAN_FILES if (folder / name).is_file()}
    write_json(folder / SUMMARY, {**summary, "files": files})


def _write_nifti(folder: Path, prediction: ScanPrediction) -> None:
    geometry, stored = voxel_grid(prediction.case)

    def write(name: str) -> None:
        """``(*space)`` or ``(channels, *space)`` as ``name.nii.gz``, channels last."""
        array = prediction.mean if name == "probability" else getattr(prediction, name)
        array = prediction.labels.decode(array) if name in ("mode", "readings") else array
        channels = array.ndim > prediction.case.geometry.dimensions
        volume = array.reshape(*array.shape[:1], *geometry.shape) if channels else array.reshape(geometry.shape)
        nifti.write(folder / f"{name}.nii.gz", np.moveaxis(volume, 0, -1) if channels else volume, geometry, stored)

    names = ["probability", *UNCERTAINTY_MAPS, "mode", *(["readings"] if len(prediction.readings) else [])]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # compression lets other threads run
        list(pool.map(write, names))


def voxel_grid(case: Case) -> tuple[Geometry, Geometry | None]:
    """The grid of a case as a volume, and as stored where that differs.

    A single image is one slice as thick as its slice. Lengths that are not known are written as 1 mm, with a warning.
    """
    geometry = case.geometry
    if geometry.dimensions == 3:
        return geometry, case.source.geometry
    if geometry.spacing is None or geometry.slice_thickness_mm is None:
        warn(
            "W_NO_SPACING",
            f"case '{case.case_id}' has no {'pixel spacing' if geometry.spacing is None else 'slice thickness'}; its "
            "files say 1 mm instead, and its volumes are left empty",
        )
    spacing = (geometry.slice_thickness_mm or 1.0, *(geometry.spacing or (1.0, 1.0)))
    return replace(geometry, shape=(1, *geometry.shape), spacing=spacing, slice_thickness_mm=None), None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
