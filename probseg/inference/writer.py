"""Predictions on disk: each scan as soon as it is predicted."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from probseg.errors import ProbsegError
from probseg.inference.failures import NothingLeft, ScanFailure, Turn, failure_of
from probseg.inference.predictor import ScanPredictor
from probseg.inference.scan import ScanPrediction
from probseg.inference.scan_files import write_scan
from probseg.inference.shared_run import SharedRun
from probseg.inference.summary import scan_summary

__all__ = ["PredictionWriter", "Requeue"]

Requeue = tuple[int, Callable[[], None]]


class PredictionWriter(BasePredictionWriter):
    """Writes each scan as soon as it is predicted; a scan that failed is one error line on stderr.

    Args:
        run: that this process takes part in.
        requeue: signal at which a scheduler's job is to be queued again, and what does so; None outside of one.

    Attributes:
        job: name that the processes share which were started together.
    """

    def __init__(self, run: SharedRun, requeue: Requeue | None = None) -> None:
        super().__init__("batch")
        self.run = run
        self.requeue = requeue
        self.job: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take part in the run, before anything is computed; no process begins before all have come."""
        super().setup(trainer, pl_module, stage)
        self.job = trainer.strategy.broadcast(self.run.token)
        self.run.enter(self.job)
        trainer.strategy.barrier("probseg: all take part")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let SIGTERM end the processes at once, and a scheduler's signal have the job queued again before.

        Lightning would note the one and go on, and save a checkpoint at the other; but scans that are done are safe.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        launcher = trainer.strategy.launcher

        def stop(number: int, frame: FrameType | None) -> None:
            if self.requeue is not None and number == self.requeue[0] and trainer.is_global_zero:
                self.requeue[1]()
            if isinstance(launcher, _SubprocessScriptLauncher):
                launcher.kill(signal.SIGTERM)
            raise SystemExit(128 + number)

        # Lightning puts back what was there before when the prediction ends.
        for number in (signal.SIGTERM, *([] if self.requeue is None else [self.requeue[0]])):
            signal.signal(number, stop)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: ScanPrediction | ScanFailure | NothingLeft,
        batch_indices: Sequence[int] | None,
        batch: Turn,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one scan, or say why it cannot be."""
        assert isinstance(pl_module, ScanPredictor)
        if isinstance(prediction, ScanPrediction):
            failure = self._write(prediction, pl_module)
        else:
            failure = prediction if isinstance(prediction, ScanFailure) else None
        if failure is not None:
            self.run.fail(failure)
            print(f"error: {failure.error}", file=sys.stderr, flush=True)

    def _write(self, prediction: ScanPrediction, predictor: ScanPredictor) -> ScanFailure | None:
        case_id = prediction.case.case_id
        try:
            with self.run.writing(case_id) as folder:
                write_scan(folder, prediction, predictor, scan_summary(prediction, predictor))
        except ProbsegError as error:
            if error.code == "E_NOT_WRITABLE":  # no fault of the scan; the next could not be written either
                raise
            return failure_of(case_id, error)
        except Exception as error:
            return failure_of(case_id, error)
        return None
