"""``probseg agreement``: how far the raters of a dataset differ."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.records import SPLITS

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.analysis.agreement import AgreementReport
    from probseg.analysis.agreement_settings import AgreementSettings
    from probseg.analysis.measuring import Measured
    from probseg.analysis.tables import Table
    from probseg.io.predicted import PredictedCase
    from probseg.records import Dataset, DatasetInfo

DESCRIPTION = """\
Measure how far the raters of a dataset differ: Dice, IoU, surface distances, kappa, agreement, volumes.

A run that was stopped goes on where it was. A large dataset may be measured in shards, on any machines:
  probseg agreement DATASET --shard 1/2 --out part-1
  probseg agreement DATASET --shard 2/2 --out part-2
  probseg agreement merge part-1 part-2 --out agreement"""
EXAMPLE = "probseg agreement lidc-sample --out agreement"

_MERGE = "merge"
_REPORT = "agreement.json"
# Every file that there may be.
_FILES = (
    _REPORT,
    "pairwise.csv",
    "cases.csv",
    "classes.csv",
    "confusion.csv",
    "sites.csv",
    "volumes.csv",
    "icc.csv",
    "bland_altman.csv",
    "raters.csv",
    "raters_confusion.csv",
    "repeats.csv",
    "outliers.csv",
    "ceiling.csv",
    "planning.csv",
    "second_readings.csv",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "dataset", metavar="DATASET", nargs="+", help="dataset folder, NPZ stack, or lidc-sample; or: merge SHARD..."
    )
    parser.add_argument("--predictions", metavar="DIR", help="what probseg predict wrote, compared with every rater")
    parser.add_argument(
        "--margin",
        metavar="FIGURE=VALUE",
        nargs="+",
        help="how much worse than a rater a model may be and still pass for as good (default: dice=0.05)",
    )
    parser.add_argument("--exclude", metavar="RATER", nargs="+", default=[], help="raters to leave out")
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="only these splits (default: every case)")
    parser.add_argument("--site", metavar="NAME", nargs="+", help="only these sites (default: every case)")
    parser.add_argument(
        "--region",
        metavar="NAME",
        help="where kappa, alpha and entropy are measured: union (what any rater drew, the default), whole (the whole "
        "image), or the name of a class or group such as lung",
    )
    parser.add_argument("--by", choices=("site",), help="also tell every site apart, in sites.csv")
    parser.add_argument("--tolerance", metavar="MM", nargs="+", type=float, help="of surface Dice (default: 1 2 3)")
    parser.add_argument(
        "--jobs", metavar="N", type=int, help="processes, -1 for one a core (default: as suits the data)"
    )
    parser.add_argument("--shard", metavar="I/N", help="measure every N-th case from the I-th, for merge")
    parser.add_argument("--out", type=Path, default=Path("agreement"), help="folder to write (default: agreement)")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in --out")


def run(args: argparse.Namespace) -> int:
    """Analyse, print what was found, and write the tables."""
    from probseg.errors import ProbsegError
    from probseg.manifest import open_dataset

    if args.dataset[0] == _MERGE:
        return _merge(args)
    if len(args.dataset) > 1:
        raise ProbsegError("E_USAGE", f"agreement takes one dataset, but was given {len(args.dataset)}")
    whole = open_dataset(args.dataset[0])
    dataset = whole.select(args.split, args.site, args.exclude)
    settings = _settings(args).checked(dataset.info.labels)
    predictions = _predictions(args, whole)
    if args.shard is not None:
        return _shard(args, dataset, settings, predictions)
    _check_out(args.out, args.overwrite)
    return _finish(args, dataset.info, settings, _measured(args, dataset, settings, predictions))


def _shard(
    args: argparse.Namespace, dataset: Dataset, settings: AgreementSettings, predictions: dict[str, PredictedCase]
) -> int:
    from probseg.analysis.shards import Shard, describes, write_shard

    shard, digests = Shard.parse(args.shard), {case_id: p.sha256 for case_id, p in predictions.items()}
    if not describes(args.out, dataset, settings, shard, digests):
        _check_out(args.out, args.overwrite)
    found = list(_measured(args, shard.of(dataset), settings, predictions))
    write_shard(args.out, dataset, settings, shard, digests)
    again = sum(m.reused for m in found)
    print(f"shard {args.shard}: {len(found)} of {len(dataset)} cases, {again} of them measured before")
    print(f"wrote {args.out}")
    print("next: probseg agreement merge SHARD... --out agreement, with the folders of all shards")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from probseg.analysis.shards import gather
    from probseg.errors import ProbsegError

    settled = ("predictions", "margin", "exclude", "split", "site", "region", "tolerance", "jobs", "shard")
    given = [name for name in settled if getattr(args, name)]
    if given:
        raise ProbsegError("E_USAGE", f"--{given[0]} was settled when the shards were measured; leave it out of merge")
    if len(args.dataset) < 2:
        raise ProbsegError("E_USAGE", "merge needs the folders of the shards; see probseg agreement --help")
    _check_out(args.out, args.overwrite)
    found = gather([Path(name) for name in args.dataset[1:]])
    return _finish(args, found.info, found.settings, found.cases)


def _settings(args: argparse.Namespace) -> AgreementSettings:
    from probseg.analysis.agreement_settings import AgreementSettings

    usual = AgreementSettings()
    tolerances = usual.tolerances_mm if args.tolerance is None else tuple(args.tolerance)
    margins = usual.margins if args.margin is None else tuple(_margin(text) for text in args.margin)
    return AgreementSettings(args.region or usual.region, tolerances, margins=margins)


def _margin(text: str) -> tuple[str, float]:
    from probseg.errors import ProbsegError

    figure, _, value = text.partition("=")
    try:
        return figure, float(value)
    except ValueError as error:
        raise ProbsegError("E_USAGE", f"a margin is FIGURE=VALUE, such as dice=0.05, but is '{text}'") from error


def _predictions(args: argparse.Namespace, dataset: Dataset) -> dict[str, PredictedCase]:
    """By case id; E_SCHEMA where one belongs to no case of the whole dataset."""
    if args.predictions is None:
        return {}
    from probseg.io.predicted import predictions_of

    return predictions_of(args.predictions, dataset)


def _measured(
    args: argparse.Namespace, dataset: Dataset, settings: AgreementSettings, predictions: dict[str, PredictedCase]
) -> Iterable[Measured]:
    from joblib import cpu_count

    from probseg.analysis.measuring import measure
    from probseg.analysis.shards import MEASURED
    from probseg.progress import followed

    jobs = args.jobs
    if jobs is None:
        # Starting processes costs more than a handful of volumes, or any number of single images.
        jobs = 1 if dataset.info.dimensions == 2 else max(1, min(cpu_count(), len(dataset) // 4))
    keep = args.out / MEASURED
    return measure(dataset, dataset.info, settings, predictions, keep=keep, jobs=jobs, follow=followed)


def _finish(
    args: argparse.Namespace, info: DatasetInfo, settings: AgreementSettings, measured: Iterable[Measured]
) -> int:
    """Figures over the cases, on the terminal and in files."""
    from rich.console import Console

    from probseg.analysis.agreement import merge, warn_of
    from probseg.commands.agreement_printing import clean, print_tables, sentences
    from probseg.errors import warn

    statistics, reused = [], 0
    for found in measured:
        statistics.append(found.statistics)
        reused += found.reused
        for code, message in found.warned:
            warn(code, message)
    report = merge(statistics, info, settings)
    warn_of(report)
    print_tables(report, Console())
    sites = report.site_table() if args.by else None
    if sites is not None and not sites.rows:
        print("All cases come from one site, so --by site has nothing to tell apart.")
    for sentence in (*sentences(report), *map(clean, report.study.sentences())):
        print(sentence)
    if reused and args.dataset[0] != _MERGE:
        print(f"{reused} of {len(statistics)} cases were measured before this run was stopped, and taken from there.")
    written = _write(report, args.out, {} if sites is None or not sites.rows else {"sites": sites})
    print(f"wrote {', '.join(str(args.out / name) for name in written)}")
    print(f"next: {_next(report, args)}")
    return 0


def _check_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder with anything in it, but for the cases of a run that was stopped."""
    from probseg.analysis.shards import MEASURED
    from probseg.errors import ProbsegError

    if out.exists() and not out.is_dir():
        raise ProbsegError("E_OUTPUT_EXISTS", f"--out '{out}' is a file; give a folder")
    if not out.is_dir() or overwrite:
        return
    stopped = (out / MEASURED).is_dir() and not (out / _REPORT).exists()
    ours = {MEASURED, *_FILES} if stopped else set()
    if any(path.name not in ours and not path.name.startswith(".tmp") for path in out.iterdir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; add --overwrite or choose another --out")


def _write(report: AgreementReport, out: Path, more: dict[str, Table]) -> list[str]:
    import json

    from probseg.analysis.shards import MEASURED, SHARD
    from probseg.io.atomic import write_text
    from probseg.io.tables import write_csv

    made = report.tables() | more
    for name in (*_FILES, SHARD):  # a table of an earlier run would be taken for this one's
        (out / name).unlink(missing_ok=True)
    for name, table in made.items():
        write_csv(out / f"{name}.csv", table.columns, table.rows)
    # Last, so that its presence says that the tables are whole.
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / _REPORT, text + "\n")
    _remove(out / MEASURED)
    return [*(f"{name}.csv" for name in made), _REPORT]


def _remove(folder: Path) -> None:
    """Remove the files of single cases, which nobody needs once the figures are written, and nothing else."""
    if not folder.is_dir():
        return
    for path in folder.glob("*.json"):
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _next(report: AgreementReport, args: argparse.Namespace) -> str:
    import shlex

    from probseg.commands.agreement_printing import clean

    if report.identical and args.dataset[0] != _MERGE:
        twins = sorted({b for _, b in report.identical})
        parts = ["probseg", "agreement", *args.dataset, "--exclude", *args.exclude, *twins]
        parts += ["--split", *args.split] if args.split else []
        parts += ["--site", *args.site] if args.site else []
        return shlex.join([*map(clean, parts), "--out", f"{args.out}-distinct"])
    if report.info.annotations_only:
        return "probseg import --help, to bring images in: no model can be fitted to annotations alone"
    return "probseg fit --help, to train a model on these raters"
