"""``probseg calibrate``: after training, fit what makes stated probabilities those with which raters agree."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.commands.assignments import assignments
from probseg.errors import ProbsegError
from probseg.records import SPLITS, DatasetInfo

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from probseg.analysis.bootstrap import Interval
    from probseg.models import SegmentationModule
    from probseg.training.calibrating import Fit

DESCRIPTION = (
    "Fit a calibrator on the calibration split of the data that a run was trained on, and keep it beside the run's "
    "checkpoint. probseg test and predict then use it; --calibration none leaves it out. Methods: Temperature, "
    "ClassTemperature, VectorScaling, LocalTemperature (a small network tells a temperature a voxel), and Isotonic for "
    "two classes."
)
EXAMPLE = "probseg calibrate runs/probabilistic_unet --method Temperature"

_SHOWN = ("nll", "brier", "ece", "mce", "ace")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder of probseg fit")
    parser.add_argument(
        "--method",
        default="Temperature",
        metavar="METHOD",
        help="class name of probseg.calibrators, or class path (default: Temperature)",
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the method, such as width=16"
    )
    parser.add_argument("--data", metavar="DATASET", help="calibrate on this dataset (default: that of the run)")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="calibration",
        help="calibration (default), or validation, which the choice of the checkpoint has seen; others are refused",
    )
    parser.add_argument("--site", nargs="+", help="only cases of these sites (default: those of the run)")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="of the run (default: best)")
    parser.add_argument("--draws", type=int, metavar="N", help="draws a case (default: as the model was validated)")
    parser.add_argument("--seed", type=int, default=0, help="of draws and of the voxels that are kept (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the calibrator that is there")


def run(args: argparse.Namespace) -> int:
    """Fit, measure before and after, write."""
    if (args.draws is not None and args.draws < 1) or args.seed < 0:
        raise ProbsegError("E_USAGE", "--draws must be at least 1 and --seed not negative")
    from probseg.calibrators import build_calibrator, calibrator_path, write_calibrator
    from probseg.distribution import Draws
    from probseg.models import load_model
    from probseg.training.calibrating import calibration_data, fit_calibrator, measure_calibration

    calibrator, config = build_calibrator({"class_path": args.method, "init_args": assignments(args.set)})
    checkpoint = _checkpoint(args.run, args.checkpoint)
    if calibrator_path(checkpoint).exists() and not args.overwrite:
        raise ProbsegError(
            "E_OUTPUT_EXISTS", f"'{calibrator_path(checkpoint)}' is there already; add --overwrite to fit it anew"
        )
    data = calibration_data(args.run, args.split, args.data, args.site)
    model = load_model(checkpoint)
    _require_alike(model, data.info)
    draws = Draws(model.draws.count if args.draws is None else args.draws, args.seed)
    start = time.monotonic()
    fit = fit_calibrator(calibrator, model, data, args.split, draws)
    measured = measure_calibration(calibrator, model, data, args.split, draws)
    figures = {when: part.overall() for when, part in measured.items()}
    record = {
        "dataset": data.info.name,
        "split": args.split,
        "draws": draws.count,
        "seed": draws.seed,
        **{name: value for name, value in asdict(fit).items() if name != "sizes"},
        "seconds": round(time.monotonic() - start, 1),
        "figures": {when: {m: _plain(part[m]) for m in _SHOWN} for when, part in figures.items()},
        "reliability": {when: _curve(part.scores.reliability()) for when, part in measured.items()},
        "command": "probseg " + shlex.join(sys.argv[1:]),
    }
    path = write_calibrator(checkpoint, calibrator, config, fit.sizes, data.info.labels.names, record)
    _tell(args.run, path, fit, figures)
    return 0


def _plain(interval: Interval) -> dict[str, float | None]:
    """As JSON has it, which knows no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(interval).items()}


def _curve(counts: NDArray[np.float64]) -> list[list[float]]:
    """Mean stated probability, share of raters who agree and trials of each bin of ``(bins, 3)`` that holds any."""
    from probseg.analysis.calibration import reliability_curve

    rows = zip(*reliability_curve(counts), strict=True)
    return [[float(stated), float(agreed), int(trials)] for stated, agreed, trials in rows if trials > 0]


def _checkpoint(run: Path, name: str) -> Path:
    from probseg.models.checkpoints import best_checkpoint

    if not run.is_dir():
        raise ProbsegError("E_FILE_MISSING", f"there is no run folder '{run}'; probseg fit makes one")
    path = best_checkpoint(run) if name == "best" else run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise ProbsegError("E_FILE_MISSING", f"'{run}' has no checkpoints/last.ckpt; omit --checkpoint")
    return path


def _require_alike(model: SegmentationModule, info: DatasetInfo) -> None:
    """The data must be such as the model knows: E_NDIM, E_SCHEMA or E_CLASS_MISMATCH."""
    assert model.info is not None  # load_model binds it
    if model.info.dimensions != info.dimensions:
        raise ProbsegError(
            "E_NDIM",
            f"dataset '{info.name}' has {info.dimensions} dimensions, but the model was trained on data of "
            f"{model.info.dimensions}",
        )
    if model.info.window != info.window:
        raise ProbsegError(
            "E_SCHEMA",
            f"dataset '{info.name}' has the window {list(info.window)}, but the model was trained with "
            f"{list(model.info.window)}; set the model's in dataset.yaml",
        )
    model.bind(info)


def _tell(run: Path, path: Path, fit: Fit, figures: Mapping[str, Mapping[str, Interval]]) -> None:
    print(f"fitted on {fit.cases} cases of {fit.patients} patients, {fit.trials} pairs of voxel and rater")
    print(f"{'':>6} {'before':>8} {'after':>8}  on these cases")
    for name in _SHOWN:
        before, after = (figures[when][name] for when in ("before", "after"))
        print(f"{name:>6} {before.value:8.4f} {after.value:8.4f}  [{after.low:.4f}, {after.high:.4f}]")
    print(f"wrote {path}")
    print(f"next: probseg test -c {run}/config.yaml")
