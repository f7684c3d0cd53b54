"""``probseg adapt``: a trained model brought to another hospital, as a run of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probseg.adaptation import AdaptationNote
from probseg.commands.assignments import assignments
from probseg.errors import ProbsegError, warn
from probseg.records import SPLITS

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.adapting import AdaptationMethod
    from probseg.models import SegmentationModule
    from probseg.records import CaseRecord, Dataset

DESCRIPTION = (
    "Adapt a trained model to a site that it was not trained on: with a few labelled cases (FineTune, Recalibration) "
    "or with images alone (NormalisationStatistics, EntropyMinimisation). What it is adapted with is never what it is "
    "tested on: patients with split test are left alone."
)
EXAMPLE = "probseg adapt runs/mine --method FineTune --data.root south-ct --site south --cases 8 --out runs/mine-south"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder of probseg fit, or of an earlier adapt")
    parser.add_argument(
        "--method", required=True, metavar="METHOD", help="class name of probseg.adapting, or class path"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the method, such as steps=40"
    )
    parser.add_argument("--data.root", dest="root", required=True, metavar="DATASET", help="dataset with the new site")
    parser.add_argument("--site", required=True, metavar="NAME", help="the new site")
    parser.add_argument(
        "--cases", type=int, metavar="N", help="how many patients of the site to use, all cases of each (default: all)"
    )
    parser.add_argument(
        "--split",
        nargs="+",
        choices=[split for split in SPLITS if split != "test"],
        help="splits from which to take them (default: train validation; for Recalibration, calibration)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed that chooses the patients (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN2", help="run folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in --out")


def run(args: argparse.Namespace) -> int:
    """Adapt, write the run, and say with what and what is left to test on."""
    from probseg.adapting import SiteData, build_method, choose_cases
    from probseg.adapting.adapted_run import check_new_run, read_settings, settings_at, write_adapted_run
    from probseg.joining import open_datasets
    from probseg.models import load_model
    from probseg.models.checkpoints import best_checkpoint

    if args.seed < 0:
        raise ProbsegError("E_USAGE", f"--seed must not be negative, but is {args.seed}")
    check_new_run(args.out, args.run, args.overwrite)
    given = read_settings(args.run)
    method, described = build_method(args.method, assignments(args.set))
    root = str(Path(args.root).resolve()) if Path(args.root).exists() else args.root
    dataset = open_datasets(root).require_images()
    records = choose_cases(dataset, args.site, args.split or method.splits, args.cases, args.seed)
    checkpoint = best_checkpoint(args.run)
    model = load_model(args.run)
    _require_alike(model, dataset, args.site)
    _warn_of_known_site(args.run, given, root, args.site)
    _warn_of_calibrator(checkpoint, method)
    settings = settings_at(given, args.out, root, args.site, args.seed)
    start = time.monotonic()
    adapted = method(model, SiteData(dataset, records, settings["data"]), args.seed)
    note = _note(args, method, described, dataset, records, checkpoint, adapted.done)
    seconds = time.monotonic() - start
    written = write_adapted_run(args.out, model, settings, note, checkpoint, seconds, adapted)
    _tell(args, note, adapted.steps, written)
    return 0


def _require_alike(model: SegmentationModule, dataset: Dataset, site: str) -> None:
    """The new site's images and classes must be such as the model knows."""
    assert model.info is not None  # load_model binds it
    known, new = model.info, dataset.info
    if known.dimensions != new.dimensions:
        raise ProbsegError(
            "E_NDIM",
            f"dataset '{new.name}' has {new.dimensions} dimensions, but the model was trained on data of "
            f"{known.dimensions}",
        )
    if known.window != new.window:
        raise ProbsegError(
            "E_SCHEMA",
            f"dataset '{new.name}' has the window {list(new.window)}, but the model was trained with "
            f"{list(known.window)}; set the model's in dataset.yaml",
        )
    model.bind(dataset.with_known_raters("train", [site]).info)  # E_CLASS_MISMATCH for other classes


def _warn_of_known_site(run: Path, given: Mapping[str, Any], root: str, site: str) -> None:
    """A model that was trained on the site has nothing to be adapted to; a run of an earlier adapt goes on."""
    data = given["data"]
    roots = data.get("root") if isinstance(data.get("root"), list) else [data.get("root")]
    if AdaptationNote.read(run) is None and root in roots and site in (data.get("sites") or [site]):
        warn("W_KNOWN_SITE", f"'{run}' was trained on site '{site}' of this dataset; is it the new one?")


def _warn_of_calibrator(checkpoint: Path, method: AdaptationMethod) -> None:
    """A calibrator is for the weights that it was fitted for, and does not come along."""
    from probseg.adapting.recalibration import Recalibration
    from probseg.calibrators import calibrator_path

    if calibrator_path(checkpoint).is_file() and not isinstance(method, Recalibration):
        warn(
            "W_CALIBRATION",
            f"the calibrator of '{checkpoint}' was fitted for its weights and is left out; fit another with "
            "--method Recalibration",
        )


def _note(
    args: argparse.Namespace,
    method: AdaptationMethod,
    described: Mapping[str, Any],
    dataset: Dataset,
    records: Sequence[CaseRecord],
    checkpoint: Path,
    done: Mapping[str, Any],
) -> AdaptationNote:
    """What the new run says of itself."""
    from probseg.adapting.site_data import patients_of
    from probseg.io.digest import file_sha256

    tested = [r for r in dataset.records if r.split == "test" and r.site == args.site]
    return AdaptationNote(
        described,
        method.labelled,
        dataset.info.name,
        args.root,
        args.site,
        tuple(args.split or method.splits),
        patients_of(records),
        tuple(r.case_id for r in records),
        patients_of(tested),
        args.seed,
        str(args.run),
        file_sha256(checkpoint),
        done,
        AdaptationNote.read(args.run),
    )


def _tell(args: argparse.Namespace, note: AdaptationNote, steps: int, written: Path) -> None:
    kind = "labelled" if note.labelled else "unlabelled"
    print(
        f"{args.method}: {len(note.patients)} patients ({len(note.cases)} {kind} cases) of site '{args.site}' from "
        f"{', '.join(note.splits)}; {steps} steps"
    )
    for name, value in note.done.items():
        print(f"  {name.replace('_', ' ')}: {f'{value:.4g}' if isinstance(value, float) else value}")
    print(f"wrote {written} and {args.out}/adaptation.json")
    if not note.tested_patients:
        warn("W_NO_TEST", f"site '{args.site}' has no test patient, so that nothing tells whether this helped")
        print(f"next: probseg predict {args.out} SCAN --out predictions")
        return
    print(
        f"{args.out}/config.yaml tests on the {len(note.tested_patients)} test patients of '{args.site}', none of whom "
        "was used"
    )
    print(f"next: probseg test -c {args.out}/config.yaml")
