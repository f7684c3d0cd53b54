"""``probseg export``: a trained model as a folder that others can use."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.errors import ProbsegError, warn
from probseg.zoo import located, model_folder, model_names

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.exporting import About, Exported

DESCRIPTION = (
    "Write a trained model as a folder that probseg predict takes: weights as safetensors, how to build it as plain "
    "JSON, its calibration, a model card, and ONNX of the part that is not random, compared with PyTorch. --list names "
    "the models that come with probseg."
)
EXAMPLE = "probseg export runs/probabilistic_unet --out exported --about about.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="run folder of probseg fit, or a checkpoint; zoo:NAME for a bundled model"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in --out")
    parser.add_argument(
        "--about",
        type=Path,
        metavar="FILE",
        help="YAML of texts for the card: name, summary, intended_use, limits, data, licence, citation, evaluation",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DATASET", help="what the run was trained on, where it has moved since"
    )
    parser.add_argument(
        "--calibration",
        choices=("stored", "none"),
        default="stored",
        help="stored (default): with what probseg calibrate fitted, if anything; none: without",
    )
    parser.add_argument("--no-onnx", action="store_true", help="leave model.onnx out")
    parser.add_argument("--list", action="store_true", help="name the bundled models and do nothing else")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written."""
    if args.list:
        return _list(args)
    if args.run is None or args.out is None:
        raise ProbsegError("E_USAGE", "give a RUN and --out, or --list; see probseg export --help")
    from probseg.exporting import About, copy_export, export_model, facts_of, missing_onnx, read_about
    from probseg.exporting.folder import check_place
    from probseg.models import load_model
    from probseg.models.calibration import use_calibration
    from probseg.models.checkpoints import best_checkpoint, read_checkpoint
    from probseg.models.exported import is_weights

    path = located(args.run)
    about = About() if args.about is None else read_about(args.about)
    check_place(args.out, args.overwrite)
    model = load_model(path)
    checkpoint = best_checkpoint(path) if path.is_dir() else path
    use_calibration(model, checkpoint, args.calibration)
    assert model.info is not None  # load_model binds it
    missing = None if args.no_onnx else missing_onnx()
    if missing is not None:
        warn("W_NO_ONNX", f"model.onnx is left out, for {missing} is not installed; pip install 'probseg[onnx]'")
    onnx = not args.no_onnx and missing is None
    if is_weights(checkpoint):
        _refuse_of_a_copy(args)
        _tell(args, copy_export(model, checkpoint.parent, args.out, onnx, args.overwrite), None)
        return 0
    run_folder = path if path.is_dir() else checkpoint.parent.parent
    facts = facts_of(run_folder, model.info, args.data, read_checkpoint(checkpoint))
    _tell(args, export_model(model, checkpoint, facts, about, args.out, onnx, args.overwrite), about)
    return 0


def _refuse_of_a_copy(args: argparse.Namespace) -> None:
    """What is exported already keeps its card and its calibration."""
    given = [n for n in ("about", "data") if getattr(args, n) is not None]
    given += ["calibration"] if args.calibration != "stored" else []
    if given:
        raise ProbsegError(
            "E_USAGE", f"'{args.run}' is exported already and keeps its card and calibration; leave --{given[0]} out"
        )


def _list(args: argparse.Namespace) -> int:
    if args.run is not None or args.out is not None:
        raise ProbsegError("E_USAGE", "--list goes alone; give RUN and --out without it")
    for name in model_names():
        folder = model_folder(name)
        lines = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[-1].strip().splitlines()
        summary = next(line for line in lines if line and not line.startswith("#"))
        size = sum(p.stat().st_size for p in folder.iterdir())
        print(f"{name:<24} {size / 1e6:.1f} MB  {summary}")
        print(f"{'':<24} card: {folder / 'README.md'}")
    print("next: probseg predict --model NAME SCAN --out predictions")
    return 0


def _tell(args: argparse.Namespace, exported: Exported, about: About | None) -> None:
    sizes = ", ".join(f"{name} ({size / 1e6:.2f} MB)" for name, size in exported.files.items())
    print(f"wrote {args.out}: {sizes}")
    if exported.onnx is not None:
        print(f"model.onnx agrees with PyTorch: probabilities differ by {exported.onnx.difference:.1e} at most")
    asked = () if about is None else ("intended_use", "limits", "licence", "citation")
    unsaid = [key for key in asked if not getattr(about, key)]
    if unsaid:
        print(f"the card does not say: {', '.join(unsaid)}; --about FILE does")
    print(f"next: {shlex.join(['probseg', 'predict', str(args.out), 'SCAN', '--out', 'predictions'])}")
