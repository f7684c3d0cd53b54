"""Write results.csv and results.md: ``python table.py [WORK] [TARGET]``, WORK being where README.md's commands ran.

Without WORK the tables come from ``records`` beside this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from probseg.adaptation import AdaptationNote
from probseg.analysis.bootstrap import Interval
from probseg.analysis.paired import paired_difference
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.markdown import figure_cell, markdown_table
from probseg.report.table import DASH

HERE = Path(__file__).parent
EXPERIMENTS = {"lidc": ("sharp", "blurred"), "synthetic": ("north", "south")}
FIGURES = ("ged_v", "ged_u", "soft_dice", "nll", "ece", "volume_error_size")
TITLES = {
    "ged_v": "GED (V)",
    "ged_u": "GED (U)",
    "soft_dice": "soft Dice",
    "nll": "NLL",
    "ece": "ECE",
    "volume_error_size": "absolute relative volume error",
}
ORDER = (
    *("source", "statistics", "entropy", "entropy-fast", "statistics-entropy", "finetune-2", "finetune-8"),
    *("recalibration-2", "recalibration-8", "statistics-at-source"),
)


def rows_of(experiment: str, run: Path) -> Iterator[dict[str, Any]]:
    """Each figure at each site, with what was done to the run."""
    note: Mapping[str, Any] = AdaptationNote.read(run) or {}
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["site"] and not row.get("class") and row["metric"] in FIGURES:
                yield {
                    "experiment": experiment,
                    "run": run.name,
                    "method": str((note.get("method") or {}).get("class_path", "none")).rpartition(".")[2],
                    "labelled": bool(note.get("labelled", False)),
                    "patients": len(note.get("patients", ())),
                    **{name: row[name] for name in ("site", "metric", "value", "low", "high", "n")},
                }


def differences(folder: Path, runs: list[Path], site: str) -> str:
    """A table: each run less the source, case by case, with the interval over patients."""
    source = cases_of(folder / "source", site)
    shown = [name for name in FIGURES if name != "ece" and name in source[0]]  # ECE is of all cases together
    rows = []
    for run in runs:
        if run.name != "source":
            own = {row["case_id"]: row for row in cases_of(run, site)}
            rows.append([run.name, *(difference(source, own, name) for name in shown)])
    return markdown_table(["run", *(TITLES[name] for name in shown)], rows)


def cases_of(run: Path, site: str) -> list[dict[str, str]]:
    """The rows of ``test/cases.csv`` of one site."""
    with (run / "test" / "cases.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["site"] == site]


def difference(source: list[dict[str, str]], own: Mapping[str, Mapping[str, str]], name: str) -> str:
    """Own less the source's; bold where the interval excludes 0."""
    pairs = [(float(own[row["case_id"]][name] or "nan"), float(row[name] or "nan")) for row in source]
    found = paired_difference(*zip(*pairs, strict=True), [row["patient_id"] for row in source]).interval
    return figure_cell(found, signed=True)


def cell(row: Mapping[str, Any] | None) -> str:
    """A figure with its ends."""
    ends = [float("nan" if row is None else row[name] or "nan") for name in ("value", "low", "high")]
    return figure_cell(Interval(*ends, 0))


def table_of(rows: list[dict[str, Any]], site: str) -> str:
    """A run a line, a figure a column."""
    found = {(row["run"], row["metric"]): row for row in rows if row["site"] == site}
    shown = [name for name in FIGURES if any(metric == name for _, metric in found)]
    lines = []
    for run in ORDER:
        own = [row for row in rows if row["run"] == run]
        if own:
            patients = str(own[0]["patients"] or DASH)
            lines.append([run, patients, *(cell(found.get((run, name))) for name in shown)])
    return markdown_table(["run", "patients", *(TITLES[name] for name in shown)], lines)


def done_of(run: Path) -> str:
    """What the method said of its work."""
    done = (AdaptationNote.read(run) or {}).get("done", {})
    return "; ".join(
        f"{name.replace('_', ' ')} {f'{v:.4g}' if isinstance(v, float) else v}" for name, v in done.items()
    )


def section(work: Path, experiment: str, runs: list[Path], rows: list[dict[str, Any]]) -> Iterator[str]:
    """Tables of one experiment."""
    near, far = EXPERIMENTS[experiment]
    folder = work / f"runs-{experiment}"
    summary = json.loads((folder / "source" / "test" / "summary.json").read_text(encoding="utf-8"))
    yield f"## {experiment}\n"
    yield f"{summary['cases']} test examples of {summary['patients']} patients, {summary['draws']} draws.\n"
    for site, what in ((far, "the new site"), (near, "the site of the training")):
        n = next((row["n"] for row in rows if row["site"] == site), 0)
        yield f"### {site}, {what} (n = {n})\n"
        yield table_of(rows, site)
        yield "Less `source`, on the same cases; bold where the interval excludes 0:\n"
        yield differences(folder, runs, site)
    yield "What the methods said of their work:\n"
    for run in ORDER:
        if AdaptationNote.read(folder / run):
            yield f"- {run}: {done_of(folder / run)}"
    yield ""
    doubt = work / f"doubt-{experiment}.csv"
    if doubt.is_file():
        with doubt.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        yield f"### Which doubt tells {far} from {near}\n"
        yield markdown_table(list(found[0]), [[_short(text) for text in row.values()] for row in found])


def _short(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text or DASH
    return text if value.is_integer() else f"{value:.3f}"


def times(work: Path) -> str:
    """Every command with its processor time."""
    total, rows = 0.0, []
    for experiment in EXPERIMENTS:
        path = work / f"runs-{experiment}" / "times.csv"
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                for command, processor, wall in csv.reader(file):
                    total += float(processor)
                    rows.append((experiment, f"`{command}`", processor, wall))
    return markdown_table(("experiment", "command", "processor", "wall"), [*rows, ("", "all", f"{total:.1f}", "")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    everything: list[dict[str, Any]] = []
    lines = [
        "# What adaptation did",
        "",
        "Written by table.py; 95 % bootstrap intervals over patients. See README.md.",
        "",
    ]
    for experiment in EXPERIMENTS:
        folder = arguments.work / f"runs-{experiment}"
        runs = [folder / name for name in ORDER if (folder / name / "results.csv").is_file()]
        rows = [row for run in runs for row in rows_of(experiment, run)]
        if rows:
            lines += section(arguments.work, experiment, runs, rows)
        everything += rows
    lines += ["## Processor time, s", "", times(arguments.work)]
    write_text(arguments.target / "results.md", "\n".join(lines))
    write_csv(arguments.target / "results.csv", list(everything[0]), [list(row.values()) for row in everything])


if __name__ == "__main__":
    main()
