"""``probseg agreement``: how far the raters of a dataset differ."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.records import SPLITS

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from rich.console import Console

    from probseg.analysis.agreement import AgreementReport, StructureFigures
    from probseg.analysis.bootstrap import Interval

DESCRIPTION = "Measure how far the raters of a dataset differ: Dice, IoU, surface distances, agreement, volumes."
EXAMPLE = "probseg agreement lidc-sample --out agreement"

FILES = ("pairwise.csv", "cases.csv", "volumes.csv", "raters.csv", "agreement.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder, NPZ stack, or lidc-sample")
    parser.add_argument("--exclude", metavar="RATER", nargs="+", default=[], help="raters to leave out")
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="only these splits (default: every case)")
    parser.add_argument("--site", metavar="NAME", nargs="+", help="only these sites (default: every case)")
    parser.add_argument("--out", type=Path, default=Path("agreement"), help="folder to write (default: agreement)")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in --out")


def run(args: argparse.Namespace) -> int:
    """Analyse, print what was found, and write the tables."""
    from rich.console import Console
    from rich.progress import track

    from probseg.analysis.agreement import analyse
    from probseg.manifest import open_dataset

    _check_out(args.out, args.overwrite)
    dataset = open_dataset(args.dataset).select(args.split, args.site, args.exclude)
    progress = Console(stderr=True)
    cases = track(dataset, "cases", len(dataset), console=progress, transient=True, disable=not progress.is_terminal)
    report = analyse(cases, info=dataset.info)
    console = Console()
    _print_table(report, console)
    for sentence in _sentences(report):
        print(sentence)
    written = _write(report, args.out)
    print(f"wrote {', '.join(str(args.out / name) for name in written)}")
    print(f"next: {_next(report, args)}")
    return 0


def _check_out(out: Path, overwrite: bool) -> None:
    from probseg.errors import ProbsegError

    if out.exists() and not out.is_dir():
        raise ProbsegError("E_OUTPUT_EXISTS", f"--out '{out}' is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; add --overwrite or choose another --out")


def _write(report: AgreementReport, out: Path) -> list[str]:
    import json

    from probseg.analysis import agreement_tables as tables
    from probseg.io.atomic import write_text
    from probseg.io.tables import write_csv

    made = [tables.pairwise_table(report), tables.case_table(report), tables.volume_table(report)]
    # No table of single raters where a name is not a person; one from an earlier run would be taken for this run's.
    made += [tables.rater_table(report)] if report.info.stable_raters else []
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    for name, table in zip(FILES, made, strict=False):
        write_csv(out / name, table.columns, table.rows)
    # Last, so that its presence says that the tables are whole.
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / "agreement.json", text + "\n")
    return [*FILES[: len(made)], "agreement.json"]


def _clean(text: str) -> str:
    """Names come from files; a control character in one must not reach the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _show(interval: Interval, digits: int = 3) -> str:
    if interval.n == 0:
        return "-"
    if math.isnan(interval.low):  # fewer than two patients
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _cell(interval: Interval, digits: int) -> str:
    """The interval on a line of its own, so that a table of many columns fits a narrow terminal."""
    if interval.n == 0 or math.isnan(interval.low):
        return _show(interval, digits)
    return f"{interval.value:.{digits}f}\n{interval.low:.{digits}f}-{interval.high:.{digits}f}"


def _print_table(report: AgreementReport, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    title = Text(f"Raters among themselves: {_clean(report.info.name)}")
    table = Table(title=title, caption="under each mean its 95 % interval; cases: where Dice is defined")
    table.add_column("class", overflow="fold")
    for column in ("Dice", "IoU", "surface\nmean, mm", "surface\n95 %, mm", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for s in report.structures:
        distances = (_cell(s.surface_distance_mean_mm, 2), _cell(s.surface_distance_95_mm, 2))
        table.add_row(Text(_clean(s.structure)), _cell(s.dice, 3), _cell(s.iou, 3), *distances, str(s.dice.n))
    console.print(table)
    if any(v.volume_ml.n for v in report.volumes):
        _print_volumes(report, console)


def _print_volumes(report: AgreementReport, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="What raters drew, mL", caption="means over cases with their 95 % intervals")
    table.add_column("class", overflow="fold")
    for column in ("volume", "largest less smallest\nof a case", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for v in report.volumes:
        digits = _digits(v.volume_ml)
        cells = (_show(v.volume_ml, digits), _show(v.range_ml, digits))
        table.add_row(Text(_clean(v.structure)), *cells, str(v.volume_ml.n))
    console.print(table)


def _digits(interval: Interval) -> int:
    """A nodule has hundredths of a mL, a lung thousands of mL."""
    return 2 if math.isnan(interval.value) or interval.value < 10 else 0


def _sentences(report: AgreementReport) -> list[str]:
    """What the figures say, one statement a line."""
    cases, patients = len(report.cases), len({c.patient_id for c in report.cases})
    most = max(len(c.raters) for c in report.cases)
    known = [s for s in report.structures if s.dice.n]
    out = [f"{cases} cases of {patients} patients, up to {most} raters a case; 95 % intervals from patients."]
    if known:
        out.append(_overlap_sentence(known))
    if report.complete_agreement.n:
        share, entropy = report.complete_agreement, report.rater_entropy
        out.append(
            f"Of the voxels that any rater drew, all raters agree on {100 * share.value:.1f} %"
            f"{_range(share, 100, 1, ' %')}; the entropy of their vote there is {entropy.value:.3f} nats"
            f"{_range(entropy, 1, 3, '')}."
        )
    else:
        out.append("No case has two raters and something drawn, so agreement is undefined.")
    one = sum(s.one_empty for s in report.structures)
    both = sum(s.both_empty for s in report.structures)
    total = sum(s.pairs for s in report.structures)
    if one or both:
        out.append(
            f"Of {total} comparisons, {one} have one mask empty (Dice 0, no surface distance) and {both} have both "
            "empty (not counted)."
        )
    if any(s.dice.n and not s.surface_distance_mean_mm.n for s in report.structures) and all(
        math.isnan(c.voxel_volume_ml) for c in report.cases
    ):
        out.append("Spacing or slice thickness is unknown, so what needs mm or mL is empty.")
    out.append(_rater_sentence(report))
    return [*out, *([_clean(report.info.note)] if report.info.note else [])]


def _range(interval: Interval, scale: float, digits: int, unit: str) -> str:
    if math.isnan(interval.low):
        return ""
    return f" ({scale * interval.low:.{digits}f} to {scale * interval.high:.{digits}f}{unit})"


def _overlap_sentence(known: list[StructureFigures]) -> str:
    low, high = (f(known, key=lambda s: s.dice.value) for f in (min, max))
    text = f"Two raters overlap with a mean Dice of {_show(low.dice)} on {_clean(low.structure)}"
    if low is high:
        return text + "."
    return f"{text}, the least, and {_show(high.dice)} on {_clean(high.structure)}, the most."


def _rater_sentence(report: AgreementReport) -> str:
    if not report.info.stable_raters:
        return (
            "Raters have no stable identity here: rater_a, rater_b and rater in the tables are positions within a "
            "case, not persons, so nothing is said of single raters."
        )
    scores: dict[str, list[float]] = {}
    for r in report.raters:
        if r.dice.n:
            scores.setdefault(r.rater, []).append(r.dice.value)
    if not scores:
        return "No rater can be compared with another."
    if len(scores) < 3:
        return "With two raters agreement is mutual; raters.csv has each one's bias in volume with its interval."
    means = {rater: sum(values) / len(values) for rater, values in scores.items()}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return (
        f"Against the others, {_clean(most)} agrees most (Dice {means[most]:.3f}, mean over classes and groups) and "
        f"{_clean(least)} least ({means[least]:.3f}); raters.csv has each with its interval and bias in volume."
    )


def _next(report: AgreementReport, args: argparse.Namespace) -> str:
    import shlex

    if report.identical:
        twins = sorted({b for _, b in report.identical})
        parts = ["probseg", "agreement", args.dataset, "--exclude", *args.exclude, *twins]
        parts += ["--split", *args.split] if args.split else []
        parts += ["--site", *args.site] if args.site else []
        return shlex.join([*map(_clean, parts), "--out", f"{args.out}-distinct"])
    if report.info.annotations_only:
        return "probseg import --help, to bring images in: no model can be fitted to annotations alone"
    return "probseg fit --help, to train a model on these raters"
