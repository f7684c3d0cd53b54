"""Predictions on disk: a folder a scan, tables for the run, and last of all a manifest."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from probseg.case import Case, Geometry
from probseg.errors import ProbsegError, warn
from probseg.inference.inputs import ScanFailure
from probseg.inference.predictor import ScanPredictor
from probseg.inference.preview import preview_png
from probseg.inference.scan import ScanPrediction
from probseg.inference.volumes import VOLUME_COLUMNS, volume_rows
from probseg.io import nifti
from probseg.io.atomic import write_bytes, write_text
from probseg.io.digest import file_sha256
from probseg.io.out_folder import check_out
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.io.tables import write_csv
from probseg.records import check_case_id

__all__ = ["PredictionWriter", "file_sha256", "image_sha256", "voxel_grid"]

_FILES = (
    "mode.nii.gz",
    "probability.nii.gz",
    *(f"{name}.nii.gz" for name in UNCERTAINTY_MAPS),
    "readings.nii.gz",
    "preview.png",
    "summary.json",
)
_RUN_FILES = ("volumes.csv", "manifest.json")


def _remove_results(out: Path) -> None:
    """Remove what an earlier run left, by its names, so that nothing of it is taken for this run's."""
    for name in reversed(_RUN_FILES):  # the manifest first: without it nothing counts as finished
        (out / name).unlink(missing_ok=True)
    for folder in sorted(out.iterdir()):
        if folder.is_dir() and not folder.is_symlink():
            for name in reversed(_FILES):
                (folder / name).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


class PredictionWriter(BasePredictionWriter):
    """Writes each scan as soon as it is predicted, and ``volumes.csv`` and ``manifest.json`` at the end.

    A scan that failed is one error line on stderr and has no folder; the manifest lists it. Where every scan failed
    nothing is written.

    Args:
        out: folder of the run; made when the first scan is written.
        overwrite: whether an earlier run there may be replaced.

    Attributes:
        written: case ids, in order.
        failures: scans that could not be predicted.
        draws: how many the model really took; None before the first scan.
    """

    def __init__(self, out: str | Path, overwrite: bool = False) -> None:
        super().__init__("batch")
        self.out = Path(out)
        self.overwrite = overwrite
        self.failures: list[ScanFailure] = []
        self.draws: int | None = None
        self._scans: list[dict[str, Any]] = []
        self._rows: list[tuple[object, ...]] = []

    @property
    def written(self) -> tuple[str, ...]:
        """Case ids of the scans that were written."""
        return tuple(str(scan["case_id"]) for scan in self._scans)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is somewhere to write to, before anything is computed."""
        super().setup(trainer, pl_module, stage)
        if trainer.world_size > 1:
            raise ProbsegError("E_USAGE", "prediction runs in one process; set --trainer.devices=1")
        check_out(self.out, self.overwrite)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: ScanPrediction | ScanFailure,
        batch_indices: Sequence[int] | None,
        batch: Case | ScanFailure,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one scan, or say why it cannot be."""
        assert isinstance(pl_module, ScanPredictor)
        if isinstance(prediction, ScanFailure):
            self.failures.append(prediction)
            print(f"error: {prediction.error}", file=sys.stderr, flush=True)
            return
        if not self._scans and self.out.is_dir():
            _remove_results(self.out)
        case_id = check_case_id(prediction.case.case_id)
        folder = self.out / case_id
        if folder.is_symlink():
            raise ProbsegError("E_OUTPUT_EXISTS", f"'{folder}' is a link; remove it or choose another --out")
        summary = _summary(prediction, pl_module)
        _write_scan(folder, prediction, pl_module, summary)
        self.draws = len(prediction.draw_counts)
        self._rows += volume_rows(case_id, prediction.volumes)
        present = [name for name in _FILES if (folder / name).is_file()]
        files = {name: file_sha256(folder / name) for name in present}
        self._scans.append({"case_id": case_id, "input_sha256": summary["input_sha256"], "files": files})

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table of volumes and, last, the manifest."""
        assert isinstance(pl_module, ScanPredictor)
        if not self._scans:
            return
        write_csv(self.out / "volumes.csv", VOLUME_COLUMNS, self._rows)
        manifest = {
            **_provenance(pl_module),
            "scans": self._scans,
            "failed": [{"case_id": f.case_id, "code": f.error.code} for f in self.failures],
            "files": {"volumes.csv": file_sha256(self.out / "volumes.csv")},
        }
        _write_json(self.out / "manifest.json", manifest)


def _write_scan(folder: Path, prediction: ScanPrediction, predictor: ScanPredictor, summary: dict[str, Any]) -> None:
    """The files of one scan; the summary last, so that its presence says that the rest is whole."""
    info = predictor.model.info
    assert info is not None  # predict_scan needed it
    geometry, stored = voxel_grid(prediction.case)

    def write(name: str, array: NDArray) -> None:
        """``(*space)`` or ``(channels, *space)`` as ``name.nii.gz``, channels last."""
        channels = array.ndim > prediction.case.geometry.dimensions
        volume = array.reshape(*array.shape[:1], *geometry.shape) if channels else array.reshape(geometry.shape)
        nifti.write(folder / f"{name}.nii.gz", np.moveaxis(volume, 0, -1) if channels else volume, geometry, stored)

    write("mode", prediction.labels.decode(prediction.mode))
    write("probability", prediction.mean)
    for name in UNCERTAINTY_MAPS:
        write(name, getattr(prediction, name))
    if len(prediction.readings):
        write("readings", prediction.labels.decode(prediction.readings))
    write_bytes(folder / "preview.png", preview_png(prediction, info))
    _write_json(folder / "summary.json", summary)


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


def _summary(prediction: ScanPrediction, predictor: ScanPredictor) -> dict[str, Any]:
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
        "volumes": [v.to_dict() for v in prediction.volumes],
        "uncertainty_nats": uncertainty,
        "input_sha256": image_sha256(case.image),
        **_provenance(predictor),
    }


def _provenance(predictor: ScanPredictor) -> dict[str, Any]:
    """What made the results, in plain types; no paths and nothing of a patient."""
    model = predictor.model
    return {
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "checkpoint_sha256": predictor.checkpoint_sha256,
        "settings": predictor.settings.to_dict(),
        "versions": {name: version(name) for name in ("probseg", "torch", "pytorch-lightning", "numpy", "nibabel")},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def image_sha256(image: NDArray) -> str:
    """Hash of the voxels, little-endian in C order, so that it does not depend on how they were stored."""
    little = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data.cast("B")).hexdigest()
