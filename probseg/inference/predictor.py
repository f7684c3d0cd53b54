"""Prediction of whole scans as Lightning sees it: a step takes a scan and gives its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule

from probseg.case import Case
from probseg.distribution import Draws
from probseg.evaluation.stored_promises import StoredPromises
from probseg.inference.failures import NothingLeft, ScanFailure, Turn, failure_of
from probseg.inference.scan import ScanPrediction, predict_scan
from probseg.io.output_formats import DICOM, NIFTI
from probseg.models import SegmentationModule

__all__ = ["PredictionSettings", "ScanPredictor"]


@dataclass(frozen=True)
class PredictionSettings:
    """How scans are predicted: the arguments of `predict_scan`, whose readings alone if any, and which calibrator.

    ``formats`` are those of `probseg.io.output_formats` that results are written in; ``promises`` those of volumes that
    ``probseg evaluate`` made for this model.
    """

    draws: Draws
    batch_size: int = 2
    readings: int = 0
    window: tuple[int, ...] | None = None
    overlap: float = 0.25
    precision: str = "auto"
    rater: str | None = None
    calibration: dict[str, Any] | None = None
    formats: tuple[str, ...] = (NIFTI,)
    promises: StoredPromises | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for ``summary.json``."""
        return {
            "draws": self.draws.count,
            "seed": self.draws.seed,
            "batch_size": self.batch_size,
            "readings": self.readings,
            "window": None if self.window is None else list(self.window),
            "overlap": self.overlap,
            "precision": self.precision,
            **({} if self.rater is None else {"rater": self.rater}),
            "calibration": self.calibration,
            "formats": list(self.formats),
            **({} if self.promises is None else {"promises": self.promises.to_dict()}),
        }


class ScanPredictor(LightningModule):
    """A trained model whose predict step takes a whole scan; `PredictionWriter` writes what it gives.

    Args:
        model: bound to its label set.
        settings: how to predict.
        checkpoint_sha256: of the file of the weights; stands in what is written.
        progress: is called with the case id, the number of slices done and of all slices.
    """

    def __init__(
        self,
        model: SegmentationModule,
        settings: PredictionSettings,
        checkpoint_sha256: str,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.checkpoint_sha256 = checkpoint_sha256
        self.progress = progress

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the scan in main memory; its parts go to the device one by one."""
        return batch

    def predict_step(self, batch: Turn, batch_idx: int) -> ScanPrediction | ScanFailure | NothingLeft:
        """Predict one scan; whatever goes wrong with it is returned, so that the rest go on."""
        if not isinstance(batch, Case):
            return batch
        s = self.settings
        report = None if self.progress is None else _for_case(self.progress, batch.case_id)
        try:
            if DICOM in s.formats:
                _require_series(batch, self.model)
            return predict_scan(
                self.model, batch, s.draws, s.batch_size, s.readings, s.window, s.overlap, report, s.precision
            )
        except Exception as error:
            return failure_of(batch.case_id, error)


def _require_series(case: Case, model: SegmentationModule) -> None:
    """Refuse a scan of which no DICOM object can be made before an hour is spent on it."""
    # highdicom takes a second to import, and most runs do without
    from probseg.inference.dicom_outputs import require_series

    assert model.info is not None  # a model that predicts is bound
    require_series(case, model.info.labels)


def _for_case(progress: Callable[[str, int, int], None], case_id: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        progress(case_id, done, total)

    return report
