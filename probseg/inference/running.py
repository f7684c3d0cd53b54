"""A run of predictions from its scans to its report, in one process or as one of several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import CPUAccelerator

from probseg.inference.inputs import Scan
from probseg.inference.predictor import ScanPredictor
from probseg.inference.progress import ScanProgress
from probseg.inference.run_manifest import RunReport
from probseg.inference.shared_run import SharedRun
from probseg.inference.summary import provenance
from probseg.inference.turns import scan_loader
from probseg.inference.writer import PredictionWriter, Requeue
from probseg.memory import keep_freed_memory

__all__ = ["predict_scans"]


def predict_scans(
    trainer: Trainer,
    predictor: ScanPredictor,
    scans: Sequence[Scan],
    out: Path,
    overwrite: bool = False,
    requeue: Requeue | None = None,
) -> RunReport:
    """Predict what is missing of the scans, and write what came of all of them.

    Args:
        trainer: with as many processes as are to share the scans.
        predictor: the model and how to predict.
        scans: in the order of the tables.
        out: folder of the results; may hold some of this very run.
        overwrite: whether results of another run may be replaced.
        requeue: see `PredictionWriter`.

    Returns:
        What came of the scans by all processes that share the run. Of processes that were started together the first
        waits for the others, so that its report is of all.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS where the folder holds what is not this run's, E_NOT_WRITABLE.
    """
    run = SharedRun(out, [s.case_id for s in scans], provenance(predictor), [s.source for s in scans], overwrite)
    run.check()  # before processes are started
    writer = PredictionWriter(run, requeue)
    trainer.callbacks.append(writer)  # type: ignore[attr-defined]  # set by Trainer's connector
    progress = ScanProgress(len(scans), run.progress, quiet=None if trainer.is_global_zero else True)
    predictor.progress = progress.slices
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()  # one scan's maps and activations make room for the next one's
    try:
        with progress:
            trainer.predict(predictor, dataloaders=scan_loader(scans, run), return_predictions=False)
        if trainer.is_global_zero and writer.job is not None:
            run.wait_for(writer.job)
        return run.finish()
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from error
        if trainer.is_global_zero:
            print("stopped by a signal; the same command goes on", file=sys.stderr)
        raise
    finally:
        predictor.progress = None
        run.leave()
