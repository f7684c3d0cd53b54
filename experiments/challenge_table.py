"""Write results.md and results.csv of a challenge from evaluations: ``challenge_table.py FOLDER ... --out HERE``.

Each FOLDER is what ``probseg evaluate --challenge`` wrote, and gives its name to a row. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from probseg.io.atomic import write_text
from probseg.io.tables import write_csv

Row = dict[str, str]


def rows_of(folder: Path) -> list[Row]:
    """The figures of one evaluation."""
    with (folder / "challenge.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cell(row: Row | None) -> str:
    """Value and interval; empty where there is none."""
    if row is None or not row["value"]:
        return ""
    value, low, high = (float(row[k]) if row[k] else float("nan") for k in ("value", "low", "high"))
    return f"{value:.3f}" if low != low else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def table(found: dict[str, list[Row]], structure: str) -> list[str]:
    """A row an evaluation, a column a metric, of one structure or of all of them together."""
    chosen = {
        name: {r["metric"]: r for r in rows if r["class"] == structure and not r["rater"]}
        for name, rows in found.items()
    }
    metrics = list(dict.fromkeys(metric for own in chosen.values() for metric in own))
    lines = ["| | " + " | ".join(metrics) + " | cases |", "|---" * (len(metrics) + 2) + "|"]
    for name, own in chosen.items():
        cases = max((int(r["n"]) for r in own.values()), default=0)
        lines.append(f"| {name} | " + " | ".join(cell(own.get(m)) for m in metrics) + f" | {cases} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evaluations", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    found = {folder.name: rows_of(folder) for folder in arguments.evaluations}
    columns = ("metric", "class", "rater", "value", "low", "high", "n")
    rows = [(name, *(r[c] for c in columns)) for name, own in found.items() for r in own]
    write_csv(arguments.out / "results.csv", ("family", *columns), rows)
    structures = sorted({r["class"] for own in found.values() for r in own} - {""})
    lines = [
        "# Results",
        "",
        "Written by `experiments/challenge_table.py`; means over cases with 95 % intervals over patients.",
        "",
    ]
    lines += table(found, "")
    for structure in structures if len(structures) > 1 else []:
        lines += ["", f"## {structure}", "", *table(found, structure)]
    write_text(arguments.out / "results.md", "\n".join(lines) + "\n")
    print(f"wrote {arguments.out / 'results.md'}")


if __name__ == "__main__":
    main()
