"""``probseg evaluate``: predictions on disk against the raters of a dataset."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probseg.errors import ProbsegError, warn
from probseg.records import SPLITS

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.analysis.tables import Table
    from probseg.evaluation import EvaluationReport
    from probseg.evaluation.settings import EvaluationSettings
    from probseg.io.predicted import PredictedCase
    from probseg.records import Dataset

DESCRIPTION = """\
Measure predictions against the raters of a dataset: distance between the distributions, overlap, calibration, volumes
and their intervals, with 95 % intervals over patients, beside the raters in the model's place.

Predict with --readings N, or nothing can be said of the distance between readings and raters. Where the dataset has
splits and test cases are among the predictions, these alone are measured."""
EXAMPLE = "probseg evaluate predictions dataset --out evaluation"

_REPORT = "evaluation.json"
_FILES = (
    _REPORT,
    "results.csv",
    "cases.csv",
    "reliability.csv",
    "failures.csv",
    "maps.csv",
    "split.csv",
    "conformal.csv",
    "thresholds.csv",
    "challenge.csv",
    "challenge_cases.csv",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("predictions", metavar="PREDICTIONS", type=Path, help="what probseg predict --out wrote")
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder, NPZ stack, or lidc-sample")
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="only these splits (default: test, if predicted)")
    parser.add_argument("--site", metavar="NAME", nargs="+", help="only these sites (default: every case)")
    parser.add_argument("--exclude", metavar="RATER", nargs="+", default=[], help="raters to leave out")
    parser.add_argument(
        "--seen-sites",
        metavar="NAME",
        nargs="+",
        help="sites that the model was trained at: does its uncertainty tell the others, and does it tell them apart "
        "from dispute?",
    )
    parser.add_argument(
        "--failure-dice",
        metavar="DICE",
        type=float,
        help="mean Dice with the raters below which a prediction failed (default: 0.5)",
    )
    parser.add_argument(
        "--level",
        metavar="SHARE",
        type=float,
        help="share of raters that intervals of volume promise for new patients, where cases of the calibration split "
        "were predicted as well (default: 0.9)",
    )
    parser.add_argument(
        "--challenge",
        choices=("curvas", "qubiq"),
        help="write this challenge's own figures as well: challenge.csv of all cases, challenge_cases.csv of each",
    )
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="processes, -1 for one a core (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder to write (default: evaluation)")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in --out")


def run(args: argparse.Namespace) -> int:
    """Measure, print the headline figures, and write the tables."""
    from probseg.commands.agreement_printing import clean
    from probseg.evaluation import gather, measure_cases
    from probseg.evaluation.stored_promises import made_by
    from probseg.io.out_folder import check_out
    from probseg.io.predicted import predictions_of, read_json
    from probseg.manifest import open_dataset
    from probseg.progress import followed

    check_out(args.out, args.overwrite)
    settings = _settings(args)
    whole = open_dataset(args.dataset)
    _check_challenge(args, whole)
    predictions = predictions_of(args.predictions, whole)
    dataset = _chosen(args, whole, predictions)
    settings.checked({r.site for r in dataset.records if r.case_id in predictions})  # before an hour is spent
    held_back = _calibration(args, whole, dataset, predictions)
    manifest = read_json(args.predictions / "manifest.json")
    model = str(manifest.get("model", "model"))
    measured, fitted = (
        followed(measure_cases(part, predictions, args.jobs), sum(r.case_id in predictions for r in part.records))
        for part in (dataset, held_back)
    )
    report = gather(whole.info, model, measured, settings, fitted)
    official = _challenge(args, dataset, predictions)
    for case in (*report.cases, *report.calibration):
        for code, message in case.warned:
            warn(code, message)
    _print(report)
    for sentence in report.sentences():
        print(clean(sentence))
    maker = {"made_by": made_by(manifest), "calibration": (manifest.get("settings") or {}).get("calibration")}
    written = _write(report, official, args.out, maker)
    print(f"wrote {', '.join(str(args.out / name) for name in written)}")
    print(f"next: {shlex.join(['probseg', 'report', str(args.out), '--out', 'report.html'])}")
    return 0


def _chosen(args: argparse.Namespace, whole: Dataset, predictions: dict[str, PredictedCase]) -> Dataset:
    """The cases to measure; says so where they are not what a test is made of."""
    predicted = {r.split for r in whole.records if r.case_id in predictions}
    splits = args.split or (["test"] if "test" in predicted else None)
    dataset = whole.select(splits, args.site, args.exclude)
    chosen = [r for r in dataset.records if r.case_id in predictions]
    used = {*(splits or ()), "calibration"}
    left_out = sum(r.split not in used for r in whole.records if r.case_id in predictions)
    if not args.split and left_out and splits:
        print(f"{left_out} predicted cases are of other splits and are left out; --split chooses others")
    missing = len(dataset.records) - len(chosen)
    if missing and splits:
        print(f"{missing} of {len(dataset.records)} cases have no prediction and are left out")
    seen = sum(r.split in ("train", "validation") for r in chosen)
    if seen:
        rest = "figures on cases that a model was made with say little of others"
        warn("W_SEEN_CASES", f"{seen} of {len(chosen)} cases are of the splits train or validation; {rest}")
    several = [predictions[r.case_id] for r in chosen if predictions[r.case_id].num_draws > 1]
    bare = sum("readings.nii.gz" not in dict(p.files) for p in several)
    if bare:
        rest = "the distance of their readings to the raters stays empty; predict with --readings 16"
        warn("W_NO_READINGS", f"{bare} of {len(chosen)} predictions hold no readings, so {rest}")
    return dataset


def _settings(args: argparse.Namespace) -> EvaluationSettings:
    from probseg.evaluation.settings import EvaluationSettings

    seen = None if args.seen_sites is None else tuple(args.seen_sites)
    given = {"seen_sites": seen, "failure_dice": args.failure_dice, "level": args.level}
    return EvaluationSettings(**{name: value for name, value in given.items() if value is not None})


def _check_challenge(args: argparse.Namespace, dataset: Dataset) -> None:
    if args.challenge is not None:
        from probseg.evaluation.challenges import CHALLENGES

        CHALLENGES[args.challenge]().check(dataset.info)


def _challenge(args: argparse.Namespace, dataset: Dataset, predictions: dict[str, PredictedCase]) -> dict[str, Table]:
    """The tables of ``--challenge``; none without it."""
    if args.challenge is None:
        return {}
    from probseg.evaluation.challenges import CHALLENGES, challenge_tables, measure_challenge
    from probseg.progress import followed

    count = sum(r.case_id in predictions for r in dataset.records)
    cases = measure_challenge(dataset, predictions, CHALLENGES[args.challenge](), args.jobs)
    return challenge_tables(list(followed(cases, count)))


def _calibration(
    args: argparse.Namespace, whole: Dataset, chosen: Dataset, predictions: dict[str, PredictedCase]
) -> Dataset:
    """The predicted cases of the calibration split, where these are not what is measured; else none."""
    measured = {r.split for r in chosen.records if r.case_id in predictions}
    of_site = [r for r in whole.records if args.site is None or r.site in args.site]
    records = tuple(r for r in of_site if r.split == "calibration" and r.case_id in predictions)
    if "calibration" in measured or not records:
        if args.level is not None:
            raise ProbsegError(
                "E_USAGE", "--level is promised on cases of the calibration split; predict these as well, or omit it"
            )
        return replace(whole, records=())
    kept = tuple(replace(r, readings=tuple(x for x in r.readings if x.rater not in args.exclude)) for r in records)
    print(f"{len(kept)} predicted cases of the calibration split are what promises are fitted on")
    return replace(whole, records=kept)


def _print(report: EvaluationReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from probseg.commands.agreement_printing import clean
    from probseg.evaluation import RATERS

    table = Table(title="Predictions against the raters", caption="means with 95 % intervals over patients")
    table.add_column("figure", no_wrap=True)
    for column in (clean(report.family), "raters themselves", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for finding in report.findings:
        if finding.family == RATERS or finding.site or finding.name.structure or finding.interval.n == 0:
            continue
        own = report.figure(finding.name.metric, family=RATERS)
        cells = [_cell(f.value, f.low, f.high) for f in (finding.interval, own)]
        table.add_row(Text(finding.name.metric), *cells, str(finding.interval.n))
    Console().print(table)


def _cell(value: float, low: float, high: float) -> str:
    if value != value:
        return "-"
    shown = [f"{v:.3f}" if abs(v) < 100 else f"{v:.0f}" for v in (value, low, high)]
    return shown[0] if low != low else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _write(report: EvaluationReport, official: dict[str, Table], out: Path, maker: dict[str, Any]) -> list[str]:
    from probseg.io.atomic import write_text
    from probseg.io.tables import write_csv

    for name in _FILES:  # a table of an earlier run would be taken for this one's
        (out / name).unlink(missing_ok=True)
    made = {**report.tables(), **official}
    for name, table in made.items():
        write_csv(out / f"{name}.csv", table.columns, table.rows)
    # Last, so that its presence says that the tables are whole.
    text = json.dumps({**report.to_dict(), **maker}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / _REPORT, text + "\n")
    return [*(f"{name}.csv" for name in made), _REPORT]
