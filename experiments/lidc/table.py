"""Write results.md and results.csv from tested runs: ``python table.py runs runs-16 [FOLDER]``.

``runs`` holds a folder a family tested with 100 readings, ``runs-16`` the same tested with 16, from which HM-IoU comes.
No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.models.checkpoints import read_checkpoint
from probseg.report import load_run
from probseg.report.leaderboard import ordered_by, to_markdown
from probseg.report.results import RunResult, titles_of


def with_matching(run: RunResult, sixteen: Path) -> RunResult:
    """The run with its HM-IoU at 16 readings; undefined where it was not tested with 16."""
    folder = sixteen / run.folder.name
    others = load_run(folder).figures if (folder / "results.csv").is_file() else {}
    figures = {name: figure for name, figure in run.figures.items() if name != "hm_iou"}
    return dataclasses.replace(run, figures=figures | ({"hm_iou": others["hm_iou"]} if others else {}))


def processor_minutes(run: Path) -> float:
    """What `CpuBudget` counted, over all members of an ensemble."""
    members = sorted((run / "members").glob("*")) if (run / "members").is_dir() else [run]
    seconds = 0.0
    for member in members:
        callbacks = read_checkpoint(member / "checkpoints" / "last.ckpt")["callbacks"]
        seconds += next(state["cpu_seconds"] for name, state in callbacks.items() if name.startswith("CpuBudget"))
    return seconds / 60


def provenance(runs: list[RunResult]) -> str:
    """A table of how each family was trained, from its own run folder."""
    lines = ["| family | processor minutes | steps | seed | warm start |", "|---|---|---|---|---|"]
    for run in runs:
        record = json.loads((run.folder / "training.json").read_text(encoding="utf-8"))
        warm = Path(str(record["warm_start"])).parts[-3] if record.get("warm_start") else "none"
        title, minutes = titles_of(runs)[str(run.folder)], processor_minutes(run.folder)
        lines.append(f"| {title} | {minutes:.1f} | {record['steps']} | {record['seed']} | {warm} |")
    return "\n".join(lines) + "\n"


def curve(runs: list[RunResult]) -> str:
    """GED against training time: each row is a training of its own whose schedule ended there."""
    lines = ["| family | processor minutes | steps | GED (V) | GED (U) | floor |", "|---|---|---|---|---|---|"]
    rows = sorted(((r.title, processor_minutes(r.folder), r) for r in runs), key=lambda row: row[:2])
    for title, minutes, run in rows:
        steps = json.loads((run.folder / "training.json").read_text(encoding="utf-8"))["steps"]
        v, u, floor = (run.figure(name) for name in ("ged_v", "ged_u", "ged_floor"))
        between = f"{v.value:.3f} [{v.low:.3f}, {v.high:.3f}]"
        lines.append(f"| {title} | {minutes:.0f} | {steps} | {between} | {u.value:.3f} | {floor.value:.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of run folders tested with 100 readings")
    parser.add_argument("sixteen", type=Path, help="the same tested with 16 readings")
    parser.add_argument("target", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument(
        "--other-times", type=Path, nargs="+", default=[], help="folders of shorter or longer trainings"
    )
    arguments = parser.parse_args()
    folders = sorted(p for p in arguments.runs.iterdir() if (p / "results.csv").is_file())
    runs = ordered_by([with_matching(load_run(p), arguments.sixteen) for p in folders], "ged_v")
    rows = [
        (run.folder.name, name, f.value, f.low, f.high, f.n) for run in runs for name, f in sorted(run.figures.items())
    ]
    write_csv(arguments.target / "results.csv", ("family", "metric", "value", "low", "high", "n"), rows)
    summary = runs[0].summary
    text = (
        "# Results\n\nWritten by `table.py`; how it was run stands in [README.md](README.md). "
        f"{summary['cases']} test slices of {summary['patients']} patients, N readings each, HM-IoU at 16; "
        f"95 % intervals over patients from {summary['bootstrap']} bootstraps.\n\n"
        f"{to_markdown(runs)}\n{provenance(runs)}"
    )
    others = [load_run(p) for f in arguments.other_times for p in sorted(f.iterdir()) if (p / "results.csv").is_file()]
    if others:
        text += f"\n## GED against training time\n\n{curve([*runs, *others])}"
    notes = arguments.target / "notes.md"
    if notes.is_file():
        text += "\n" + notes.read_text(encoding="utf-8")
    write_text(arguments.target / "results.md", text)
    print(to_markdown(runs), end="")


if __name__ == "__main__":
    main()
