"""``probseg predict``: maps, volumes and readings of new scans."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.errors import ProbsegError, warn
from probseg.records import SPLITS
from probseg.zoo import located, model_folder

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from probseg.evaluation.stored_promises import StoredPromises
    from probseg.inference import PredictionSettings, RunReport
    from probseg.inference.writer import Requeue
    from probseg.models import SegmentationModule

DESCRIPTION = (
    "Predict scans with a trained model: the most probable class, probabilities, four maps of uncertainty and volumes "
    "with intervals, in the geometry of each scan."
)
EXAMPLE = "probseg predict runs/probabilistic_unet scan-as-dicom/ other.nii.gz --out predictions"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _declare_what(parser)
    _declare_draws(parser)
    _declare_computation(parser)


def _declare_what(parser: argparse.ArgumentParser) -> None:
    """The model, the scans and where results go."""
    parser.add_argument(
        "run", metavar="RUN", type=Path, nargs="?", help="run folder of probseg fit, checkpoint, or exported folder"
    )
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="DICOM folder or file, NIfTI file, or dataset (all of its cases)"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="instead of RUN, a model that comes with probseg; probseg export --list names them",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the results of another run in --out; the same command goes on with its own without it",
    )
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="of a dataset, only these splits")
    parser.add_argument("--site", nargs="+", help="of a dataset, only these sites")
    parser.add_argument("--series", metavar="NAME", help="of a DICOM folder with several series, the one to read")
    parser.add_argument(
        "--format",
        nargs="+",
        default=["nifti"],
        metavar="FORMAT",
        help="nifti (default); dicom, for scans that are DICOM: segmentations, parametric maps and a report; or both",
    )


def _declare_draws(parser: argparse.ArgumentParser) -> None:
    """Which distribution of the model is written, and how much of it."""
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
        "--promises",
        default="stored",
        metavar="WHICH",
        help="adds conformal intervals of volume: what probseg evaluate --out wrote for this model; stored (default): "
        "RUN/evaluation, if anything; or none",
    )
    parser.add_argument(
        "--readings", type=int, default=0, metavar="N", help="also write N plausible label maps, readings.nii.gz"
    )


def _declare_computation(parser: argparse.ArgumentParser) -> None:
    """How the network is run, and by how many processes."""
    parser.add_argument(
        "--batch-size", type=int, default=2, metavar="N", help="slices or windows a call of the network (default: 2)"
    )
    parser.add_argument(
        "--window",
        type=int,
        nargs="+",
        metavar="SIZE",
        help="overlapping windows, blended: SLICES ROWS COLUMNS of a 3-D network (default: 32 128 128), ROWS COLUMNS "
        "of a 2-D network (default: whole slices)",
    )
    parser.add_argument(
        "--overlap", type=float, metavar="SHARE", help="share by which such windows overlap (default: 0.25)"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "32", "half"),
        default="auto",
        help="of the network: half where the device has it, 32 bits, or auto (default): half where at least 99.5 "
        "percent of the foreground keeps its class in it",
    )
    parser.add_argument(
        "--devices", type=int, metavar="N", help="processes that share the scans, each with a device (default: 1)"
    )
    parser.add_argument(
        "--nodes", type=int, metavar="N", help="machines of such processes, under a cluster (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Predict every scan; 0 when all went well, 2 when some could not be predicted."""
    _choose_model(args)
    _check_arguments(args)
    from probseg.inference import ScanPredictor, predict_scans, scans_of
    from probseg.io.digest import file_sha256
    from probseg.models import load_model
    from probseg.models.calibration import use_calibration
    from probseg.models.checkpoints import best_checkpoint

    with _quiet_libraries():
        trainer = _trainer(args)
        model = load_model(args.run)
        assert model.info is not None  # load_model binds it
        checkpoint = best_checkpoint(args.run) if args.run.is_dir() else args.run
        use_calibration(model, checkpoint, args.calibration)
        if args.rater is not None:
            _choose_rater(model, args.rater)
            _leave_out_calibration(model, args)
        scans = scans_of(args.inputs, model.info.dimensions, args.split, args.series, args.site)
        sha256 = file_sha256(checkpoint)
        settings = _settings(args, model)
        settings = replace(settings, promises=_promises(args, sha256, settings))
        predictor = ScanPredictor(model, settings, sha256)
        report = predict_scans(trainer, predictor, scans, args.out, args.overwrite, _requeue(trainer))
    return _finish(args, report) if trainer.is_global_zero else 0


def _choose_model(args: argparse.Namespace) -> None:
    """RUN as it is, or what --model names; then all that stands alone are inputs."""
    if args.model is not None:
        args.inputs = [*([] if args.run is None else [str(args.run)]), *args.inputs]
        args.run = model_folder(args.model)
    elif args.run is None:
        raise ProbsegError("E_USAGE", "give RUN and INPUT, or --model NAME and INPUT; see probseg predict --help")
    args.run = located(args.run)


def _check_arguments(args: argparse.Namespace) -> None:
    from probseg.io.output_formats import NIFTI, chosen_formats

    formats = chosen_formats(args.format)
    if args.readings and NIFTI not in formats:
        raise ProbsegError("E_USAGE", "--readings are written as NIfTI; add nifti to --format, or omit them")
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
    from probseg.io.output_formats import chosen_formats

    axes = space_axes(model)
    if args.window and len(args.window) != axes:
        raise ProbsegError(
            "E_USAGE", f"--window needs {axes} sizes for this model's {axes}-D network, but has {len(args.window)}"
        )
    if axes == 2 and args.overlap is not None and not args.window:
        raise ProbsegError("E_USAGE", "--overlap is of windows, which a 2-D network has with --window only; omit it")
    given = {"window": tuple(args.window) if args.window else None, "overlap": args.overlap}
    draws = Draws(model.draws.count if args.draws is None else args.draws, args.seed)
    chosen = {name: value for name, value in given.items() if value is not None}
    return PredictionSettings(
        draws,
        args.batch_size,
        args.readings,
        precision=args.precision,
        rater=args.rater,
        calibration=model.calibration,
        formats=chosen_formats(args.format),
        **chosen,
    )


def _promises(args: argparse.Namespace, sha256: str, settings: PredictionSettings) -> StoredPromises | None:
    """What was promised of this model's volumes; promises of another are refused where they are named, else told."""
    from probseg.evaluation.stored_promises import REPORT, read_promises

    if args.promises == "none":
        return None
    terms = {"checkpoint_sha256": sha256, "settings": settings.to_dict()}
    if args.promises != "stored":
        return read_promises(Path(args.promises), terms)
    path = args.run / "evaluation" / REPORT
    if not path.is_file():
        return None
    try:
        return read_promises(path, terms)
    except ProbsegError as error:
        warn("W_PROMISES", f"no conformal intervals: {error.message}")
        return None


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Without advice about worker counts, since reading a scan is short beside predicting it, and about torch."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (".*does not have many workers.*", ".*treespec, LeafSpec.*"):
            warnings.filterwarnings("ignore", message=message)
        yield


def _trainer(args: argparse.Namespace) -> Trainer:
    """What Lightning's own ``predict`` of a run uses, for this process or for one of several."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.plugins.environments import LightningEnvironment

    from probseg.inference.processes import processes_together

    devices, nodes = processes_together(args.devices, args.nodes, os.environ)
    alone = devices * nodes == 1
    try:
        return Trainer(
            devices=devices,
            num_nodes=nodes,
            strategy="auto" if alone else "ddp",
            plugins=[LightningEnvironment()] if alone else None,  # alone it has nothing to arrange with a cluster
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError) as error:  # such as more devices than there are
        raise ProbsegError("E_USAGE", f"--devices {devices} --nodes {nodes} cannot be had: {error}") from error


def _requeue(trainer: Trainer) -> Requeue | None:
    if "SLURM_JOB_ID" not in os.environ:
        return None
    from probseg.training.slurm import requeue_of  # takes seconds to import

    return requeue_of(trainer)


def _finish(args: argparse.Namespace, report: RunReport) -> int:
    done, failed = report.done, len(report.failed)
    total = len(done) + failed + report.busy + report.left
    if failed == total:
        return 2
    if report.busy or report.left:
        print(f"{args.out} holds {len(done)} of {total} scans so far")
        if report.busy:
            print(f"other processes are at {report.busy}; the last of them writes volumes.csv and manifest.json")
        if report.left:
            print(f"{report.left} are left; the same command goes on with them")
        return 2 if failed or report.left else 0
    if report.kept == len(done):
        print(f"nothing was left to predict: {args.out} has all {len(done)}; volumes.csv, manifest.json")
    else:
        names = ", ".join(done[:5]) + (f" and {len(done) - 5} more" if len(done) > 5 else "")
        there = f" ({report.kept} were there)" if report.kept else ""
        print(f"wrote {args.out}: {names}{there}; volumes.csv, manifest.json")
    if failed:
        print(f"{failed} of {total} scans failed; the errors are above and in manifest.json")
    if args.draws not in (None, report.draws):
        warn("W_DRAWS", f"the model gives {report.draws} draws a scan, not the {args.draws} of --draws; see its family")
    print(f"next: {_next(args, report)}")
    return 2 if failed else 0


def _next(args: argparse.Namespace, report: RunReport) -> str:
    from probseg.io.output_formats import NIFTI, chosen_formats

    if args.readings or report.draws == 1 or len(args.inputs) > 8:
        return f"look at {args.out / report.done[0] / 'preview.png'}"
    chosen = [str(args.run)] if args.model is None else ["--model", args.model]
    command = ["probseg", "predict", *chosen, *args.inputs, "--readings", str(min(8, report.draws or 1))]
    command += ["--split", *args.split] if args.split else []
    command += ["--site", *args.site] if args.site else []
    command += ["--series", args.series] if args.series else []
    command += ["--rater", args.rater] if args.rater is not None else []
    command += ["--calibration", args.calibration] if args.calibration != "stored" else []
    command += ["--promises", args.promises] if args.promises != "stored" else []
    formats = chosen_formats([NIFTI, *args.format])
    command += ["--format", *formats] if formats != (NIFTI,) else []
    return shlex.join([*command, "--out", f"{args.out}-readings"])
