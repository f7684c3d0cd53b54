"""Validation, test and prediction of a trained run, and the files they leave in its folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import torch
from pytorch_lightning import Trainer

from probseg.adaptation import require_unseen
from probseg.calibration_results import before_calibration, write_calibration
from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError
from probseg.family import family_name
from probseg.io.digest import file_sha256
from probseg.io.tables import write_csv
from probseg.models import SegmentationModule
from probseg.models.calibration import STORED, use_calibration
from probseg.models.checkpoints import best_checkpoint, load_weights, read_checkpoint
from probseg.results import BOOTSTRAP_SAMPLES, example_positions, write_examples, write_results
from probseg.training.fitting import Record
from probseg.training.slurm import requeue_of

__all__ = ["load_trained", "predict_run", "test_run", "validate_run"]

_HEADLINE = ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "ece")


def load_trained(model: SegmentationModule, run: Path, given: str | None, calibration: str = STORED) -> Path:
    """Take the weights of a checkpoint, else the best of the run folder, and the calibrator beside it.

    Args:
        model: of the run's family.
        run: the run folder.
        given: a path, or ``best`` or ``last`` of the run folder.
        calibration: as for `use_calibration`.

    Returns:
        The checkpoint.
    """
    path = Path(given) if given and given not in ("best", "last") else best_checkpoint(run)
    if given == "last":
        path = run / "checkpoints" / "last.ckpt"
    checkpoint = read_checkpoint(path)
    model.on_load_checkpoint(checkpoint)
    load_weights(model, checkpoint["state_dict"], path)
    use_calibration(model, path, calibration)
    return path


def validate_run(trainer: Trainer, model: SegmentationModule, data: MultiRaterData, run: Path, family: str) -> None:
    """Every figure on the validation patients, printed and written to ``validation.csv``."""
    figures = trainer.validate(model, datamodule=data, verbose=True)
    if trainer.is_global_zero:
        rows = [(family, name.removeprefix("validation/"), v) for name, v in (figures or [{}])[0].items()]
        write_csv(run / "validation.csv", ("family", "metric", "value"), rows)
        print(f"wrote {run}/validation.csv")
        print(f"next: probseg test -c {run}/config.yaml")


def test_run(trainer: Trainer, model: SegmentationModule, data: MultiRaterData, run: Path, class_path: str) -> None:
    """Every figure on the test patients with its interval, in ``results.csv`` and ``test/``.

    Raises:
        ProbsegError: E_SPLIT_LEAK where the run was adapted to a site with one of the patients.
    """
    adaptation = require_unseen(run, data.part("test").records)
    trainer.test(model, datamodule=data, verbose=False)
    evaluation = model.evaluation
    assert evaluation is not None
    for metric in (*evaluation.metrics, *(m for c in model.calibrations.values() for m in c.metrics)):
        metric.sync() if torch.distributed.is_initialized() else None
    if not trainer.is_global_zero:
        return
    training = Record.read(run)
    summary = {
        "class_path": class_path,
        "dataset": data.info.to_dict(),
        "draws_asked": model.draws.count,
        "calibration": model.calibration,
        **{name: training.get(name) for name in ("seed", "train_seconds", "warm_start", "epochs")},
        **({} if adaptation is None else {"adaptation": adaptation}),
        "command": "probseg " + shlex.join(sys.argv[1:]),
    }
    examples = data.examples("test")
    positions = example_positions(evaluation.per_case()["rater_diversity"])
    shown = [examples[int(evaluation.index()[k])] for k in positions]
    for shape in list({e.image.shape for e in shown})[:1]:  # volumes of several shapes: those of one
        alike = [e for e in shown if e.image.shape == shape]
        summary["draws"] = write_examples(run, alike, lambda image: model(image.to(model.device), model.draws))
    family = family_name(class_path)
    before = before_calibration(model.calibrations, BOOTSTRAP_SAMPLES)
    figures = write_results(run, family, evaluation, examples, summary, further=before)
    sites = {int(k): examples.entries[int(k)].site for k in evaluation.index()}
    write_calibration(run / "test", family, model.calibrations, sites, BOOTSTRAP_SAMPLES)
    for name in (*_HEADLINE, *(n for n in ("nll_uncalibrated", "ece_uncalibrated") if n in figures)):
        f = figures[name]
        print(f"{name:>{max(10, len(name))}} {f.value:8.4f}  [{f.low:.4f}, {f.high:.4f}]  n = {f.n}")
    print(f"wrote {run}/results.csv and {run}/test/")
    print(f"next: probseg report {run} --out report.html")


def predict_run(
    trainer: Trainer, model: SegmentationModule, data: MultiRaterData, run: Path, checkpoint: Path, overwrite: bool
) -> None:
    """Maps of every test case below ``predictions/`` of the run folder."""
    from probseg.inference import PredictionSettings, ScanPredictor, dataset_scans, predict_scans

    settings = PredictionSettings(model.draws, calibration=model.calibration)
    predictor = ScanPredictor(model, settings, file_sha256(checkpoint))
    scans = dataset_scans(data.part("test"), data.info.dimensions)
    out = run / "predictions"
    report = predict_scans(trainer, predictor, scans, out, overwrite, requeue_of(trainer))
    if not trainer.is_global_zero:
        return
    if report.failed:
        raise ProbsegError("E_SCANS_FAILED", f"{len(report.failed)} of {len(scans)} scans failed; see above")
    if report.busy or report.left:
        print(f"{len(report.done)} of {len(scans)} scans are in {out}; others are at {report.busy}")
        return
    print(f"wrote {out}: {len(report.done)} scans; volumes.csv, manifest.json")
    print(f"next: look at {out / report.done[0] / 'preview.png'}")
