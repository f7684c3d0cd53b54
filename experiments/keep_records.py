"""Keep what tables need of run folders: ``keep_records.py RUN ... --out experiments/NAME/records/runs``.

A record is a folder of small files that has the name of its run and that ``table.py`` and ``probseg compare`` read like
the run itself: figures, how it was trained and adapted, processor time, but no checkpoint, prediction or picture. With
``--figures`` only those are kept, and of every case as well. What lies outside of a run, like times of commands, is
named with ``--also``. Absolute paths are made relative, so that a record names nobody's folders.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from processor_time import KEPT, processor_seconds

from probseg.io.atomic import write_text

FILES = ("training.json", "adaptation.json", "readers.csv", "opacity.json", "calibration.json", "calibration.csv")
RESULTS = ("results.csv", "evaluation/results.csv")
OF_A_CASE = ("case_id", "patient_id", "site")
# Long, and read by no table: which cases adapted a model, and what the summary says of it again.
LEFT_OUT = {"adaptation.json": ("cases", "tested_patients"), "summary.json": ("adaptation",)}
ABSOLUTE = re.compile(r"(?<![\w.~/:+-])(?:[A-Za-z]:[\\/]|/)[\w.+-][\w./\\+-]*")


def relative_paths(text: str, base: Path) -> str:
    """A text whose absolute paths begin at ``base``, at ``experiments``, or at their last part."""

    def shorter(found: re.Match[str]) -> str:
        path = found.group().replace("\\", "/")
        below = base.resolve().as_posix().rstrip("/") + "/"
        if "/experiments/" in path:
            return "experiments/" + path.rpartition("/experiments/")[2]
        return path.removeprefix(below) if path.startswith(below) else path.rstrip("/").rpartition("/")[2]

    return ABSOLUTE.sub(shorter, text)


def keep_file(source: Path, target: Path, base: Path) -> None:
    """Copy a text; of JSON without what no table reads."""
    text = source.read_text(encoding="utf-8")
    dropped = LEFT_OUT.get(source.name, ())
    if dropped:
        text = json.dumps({k: v for k, v in json.loads(text).items() if k not in dropped}, indent=1) + "\n"
    write_text(target, relative_paths(text, base))


def keep_rows(source: Path, target: Path, figures: Collection[str], classes: Collection[str]) -> None:
    """Copy ``results.csv``, of all classes together and of ``classes``; every row where no figures are named."""
    header, *rows = cells_of(source)
    metric, of = header.index("metric"), header.index("class") if "class" in header else None
    if figures:
        rows = [row for row in rows if row[metric] in figures and (of is None or row[of] in ("", *classes))]
    write_cells(target, [header, *rows])


def keep_cases(source: Path, target: Path, figures: Collection[str]) -> None:
    """Copy those columns of ``cases.csv``."""
    rows = cells_of(source)
    places = [k for k, name in enumerate(rows[0]) if name in OF_A_CASE or name in figures]
    write_cells(target, [[row[k] for k in places] for row in rows])


def cells_of(source: Path) -> list[list[str]]:
    """The lines of a CSV file, the header first."""
    with source.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_cells(target: Path, rows: Sequence[Sequence[str]]) -> None:
    """Cells as they were read: the apostrophes before what looks like a formula are there already."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(target, text.getvalue())


def keep(run: Path, target: Path, figures: Collection[str], classes: Collection[str]) -> None:
    """One run."""
    base = run.resolve().parent.parent
    for name in (*FILES, "test/summary.json"):
        if (run / name).is_file():
            keep_file(run / name, target / name, base)
    for name in RESULTS:
        if (run / name).is_file():
            keep_rows(run / name, target / name, figures, classes)
    if figures and (run / "test" / "cases.csv").is_file():
        keep_cases(run / "test" / "cases.csv", target / "test" / "cases.csv", figures)
    seconds = processor_seconds(run)
    if seconds is not None:
        write_text(target / KEPT, json.dumps({"processor_seconds": round(seconds, 1)}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--figures", nargs="+", default=[], metavar="FIGURE", help="keep these only, of cases as well")
    parser.add_argument("--classes", nargs="+", default=[], metavar="CLASS", help="with --figures: of these, too")
    parser.add_argument("--also", type=Path, nargs="+", default=[], metavar="FILE", help="copied to --out")
    arguments = parser.parse_args()
    for run in arguments.runs:
        if not any((run / name).is_file() for name in (*RESULTS, *FILES)):
            parser.error(f"'{run}' holds nothing of a run that was trained or tested")
    for run in arguments.runs:
        keep(run, arguments.out / run.resolve().name, arguments.figures, arguments.classes)
    for file in arguments.also:
        keep_file(file, arguments.out / file.name, file.resolve().parent)
    print(f"kept {len(arguments.runs)} runs and {len(arguments.also)} files in {arguments.out}")


if __name__ == "__main__":
    main()
