"""Predictions on disk: a folder a scan, tables for the run, and last of all a manifest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.inference.inputs import ScanFailure
from probseg.inference.predictor import ScanPredictor
from probseg.inference.scan import ScanPrediction
from probseg.inference.scan_files import SCAN_FILES, SUMMARY, write_json, write_scan
from probseg.inference.summary import provenance, scan_summary
from probseg.inference.volumes import VOLUME_COLUMNS, volume_rows
from probseg.io.digest import file_sha256
from probseg.io.out_folder import check_out
from probseg.io.tables import write_csv
from probseg.records import check_case_id

__all__ = ["PredictionWriter", "file_sha256"]

_FILES = (*SCAN_FILES, SUMMARY)
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
        summary = scan_summary(prediction, pl_module)
        write_scan(folder, prediction, pl_module, summary)
        self.draws = len(prediction.draw_counts)
        self._rows += volume_rows(case_id, summary["volumes"])
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
            **provenance(pl_module),
            "scans": self._scans,
            "failed": [{"case_id": f.case_id, "code": f.error.code} for f in self.failures],
            "files": {"volumes.csv": file_sha256(self.out / "volumes.csv")},
        }
        write_json(self.out / "manifest.json", manifest)
