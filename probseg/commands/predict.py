"""``probseg predict``: maps, volumes and readings of new scans."""

from __future__ import annotations

import argparse
import logging
import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.errors import ProbsegError, warn
from probseg.records import SPLITS

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.inference import PredictionSettings, PredictionWriter, Scan, ScanPredictor
    from probseg.models import SegmentationModule

DESCRIPTION = (
    "Predict scans with a trained model: the most probable class, probabilities, four maps of uncertainty and volumes "
    "with intervals, in the geometry of each scan."
)
EXAMPLE = "probseg predict runs/probabilistic_unet scan-as-dicom/ other.nii.gz --out predictions"

_FORMATS = ("nifti",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder of probseg fit, or a checkpoint")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="DICOM folder or file, NIfTI file, or dataset (all of its cases)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in --out")
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="of a dataset, only these splits")
    parser.add_argument("--site", nargs="+", help="of a dataset, only these sites")
    parser.add_argument("--series", metavar="NAME", help="of a DICOM folder with several series, the one to read")
    parser.add_argument("--draws", type=int, metavar="N", help="draws a scan (default: as the model was validated)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    parser.add_argument(
        "--rater",
        metavar="NAME",
        help="of a model that knows its raters, predict this one alone, or what stands for all: consensus or truth",
    )
    parser.add_argument(
        "--calibration",
        default="stored",
        metavar="WHICH",
        help="stored (default): what probseg calibrate fitted, if anything; none; or the class path of a calibrator of "
        "your own, to let it be imported",
    )
    parser.add_argument(
        "--batch-size", type=int, default=2, metavar="N", help="slices or windows a call of the network (default: 2)"
    )
    parser.add_argument(
        "--readings", type=int, default=0, metavar="N", help="also write N plausible label maps, readings.nii.gz"
    )
    parser.add_argument(
        "--window",
        type=int,
        nargs=3,
        metavar=("SLICES", "ROWS", "COLUMNS"),
        help="size of the windows of a 3-D network (default: 32 128 128)",
    )
    parser.add_argument(
        "--overlap", type=float, metavar="SHARE", help="share by which such windows overlap (default: 0.25)"
    )
    parser.add_argument("--format", nargs="+", default=["nifti"], metavar="FORMAT", help="nifti (default)")


def run(args: argparse.Namespace) -> int:
    """Predict every scan; 0 when all went well, 2 when some could not be predicted."""
    _check_arguments(args)
    from probseg.inference import PredictionWriter, ScanPredictor, scans_of
    from probseg.inference.writer import file_sha256
    from probseg.io.out_folder import check_out
    from probseg.models import load_model
    from probseg.models.calibration import use_calibration
    from probseg.models.checkpoints import best_checkpoint

    check_out(args.out, args.overwrite)
    model = load_model(args.run)
    assert model.info is not None  # load_model binds it
    checkpoint = best_checkpoint(args.run) if args.run.is_dir() else args.run
    use_calibration(model, checkpoint, args.calibration)
    if args.rater is not None:
        _choose_rater(model, args.rater)
        _leave_out_calibration(model, args)
    scans = scans_of(args.inputs, model.info.dimensions, args.split, args.series, args.site)
    settings = _settings(args, model)
    writer = PredictionWriter(args.out, args.overwrite)
    with _progress(len(scans)) as progress:
        _predict(ScanPredictor(model, settings, file_sha256(checkpoint), progress), scans, writer)
    return _finish(args, writer)


def _check_arguments(args: argparse.Namespace) -> None:
    strange = [f for f in args.format if f not in _FORMATS]
    if strange:
        raise ProbsegError(
            "E_USAGE", f"--format '{strange[0]}' is not available; the formats are {', '.join(_FORMATS)}"
        )
    if args.batch_size < 1 or args.readings < 0 or (args.draws is not None and args.draws < 1):
        raise ProbsegError("E_USAGE", "--draws and --batch-size must be at least 1 and --readings at least 0")
    if (args.window and min(args.window) < 1) or (args.overlap is not None and not 0 <= args.overlap < 1):
        raise ProbsegError("E_USAGE", "--window needs positive sizes and --overlap a share from 0 to below 1")


def _choose_rater(model: SegmentationModule, rater: str) -> None:
    """Let the model, and every model inside it that knows raters, predict one of them alone."""
    from probseg.models.rater_aware import RaterAware

    aware = [part for part in model.modules() if isinstance(part, RaterAware)]
    if not aware:
        raise ProbsegError(
            "E_USAGE", f"--rater is for models that know their raters, which {type(model).__name__} does not; omit it"
        )
    for part in aware:
        part.choose_rater(rater)


def _leave_out_calibration(model: SegmentationModule, args: argparse.Namespace) -> None:
    """A calibrator is fitted for all raters together; what one of them would draw it knows nothing of."""
    if model.calibrator is None:
        return
    if args.calibration != "stored":
        raise ProbsegError("E_USAGE", "--calibration is for all raters together; omit it, or --rater")
    warn("W_CALIBRATION", "the calibration of this run is for all raters together and is left out for --rater")
    model.calibrate(None)


def _settings(args: argparse.Namespace, model: SegmentationModule) -> PredictionSettings:
    from probseg.distribution import Draws
    from probseg.inference import PredictionSettings
    from probseg.inference.scan import space_axes

    if space_axes(model) == 2 and (args.window or args.overlap is not None):
        raise ProbsegError("E_USAGE", "--window and --overlap are for 3-D networks, but this model's is 2-D; omit them")
    given = {"window": tuple(args.window) if args.window else None, "overlap": args.overlap}
    draws = Draws(model.draws.count if args.draws is None else args.draws, args.seed)
    chosen = {name: value for name, value in given.items() if value is not None}
    return PredictionSettings(
        draws, args.batch_size, args.readings, rater=args.rater, calibration=model.calibration, **chosen
    )


def _predict(predictor: ScanPredictor, scans: list[Scan], writer: PredictionWriter) -> None:
    """The same step, loader and writer as Lightning's own ``predict`` of a run."""
    from pytorch_lightning import Trainer

    from probseg.inference import scan_loader

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Advice about worker counts (reading a scan is short beside predicting it), and Lightning's own use of torch.
        for message in (".*does not have many workers.*", ".*treespec, LeafSpec.*"):
            warnings.filterwarnings("ignore", message=message)
        trainer = Trainer(
            devices=1,
            logger=False,
            callbacks=[writer],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.predict(predictor, dataloaders=scan_loader(scans), return_predictions=False)


@contextmanager
def _progress(scans: int) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar of the slices of the present scan, or nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    seen: list[str] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def report(case_id: str, done: int, total: int) -> None:
            if case_id not in seen:
                seen.append(case_id)
            bar.update(task, description=f"scan {len(seen)} of {scans}, slices", completed=done, total=total)

        yield report


def _finish(args: argparse.Namespace, writer: PredictionWriter) -> int:
    written, failed = writer.written, len(writer.failures)
    if not written:
        return 2
    names = ", ".join(written[:5]) + (f" and {len(written) - 5} more" if len(written) > 5 else "")
    print(f"wrote {args.out}: {names}; volumes.csv, manifest.json")
    if failed:
        print(f"{failed} of {failed + len(written)} scans failed; the errors are above and in manifest.json")
    if args.draws not in (None, writer.draws):
        warn("W_DRAWS", f"the model gives {writer.draws} draws a scan, not the {args.draws} of --draws; see its family")
    print(f"next: {_next(args, writer)}")
    return 2 if failed else 0


def _next(args: argparse.Namespace, writer: PredictionWriter) -> str:
    if args.readings or writer.draws == 1:
        return f"look at {args.out / writer.written[0] / 'preview.png'}"
    command = ["probseg", "predict", str(args.run), *args.inputs, "--readings", str(min(8, writer.draws or 1))]
    command += ["--split", *args.split] if args.split else []
    command += ["--site", *args.site] if args.site else []
    command += ["--series", args.series] if args.series else []
    command += ["--rater", args.rater] if args.rater is not None else []
    command += ["--calibration", args.calibration] if args.calibration != "stored" else []
    return shlex.join([*command, "--out", f"{args.out}-readings"])
