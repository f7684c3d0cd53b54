"""Commands of probseg within one process, which spares their start, each with its processor time."""

from __future__ import annotations

import csv
import os
import re
import shlex
import time
from pathlib import Path

from probseg.cli import main as probseg
from probseg.report.markdown import markdown_table

__all__ = ["COLUMNS", "command_of", "do", "times_of", "times_table"]

COLUMNS = ("command", "processor_s", "wall_s")
FOLDER = r"[^\s=]*experiments/"


def command_of(words: list[str]) -> str:
    """As one would type it."""
    return f"probseg {shlex.join(words)}"


def do(words: list[str], times: Path) -> None:
    """Run one command and add its time to a CSV file; the process ends where the command fails."""
    print(f"$ {command_of(words)}", flush=True)
    wall, processor = time.monotonic(), sum(os.times()[:4])
    if probseg(words):
        raise SystemExit(f"probseg {words[0]} failed")
    row = (command_of(words), f"{sum(os.times()[:4]) - processor:.1f}", f"{time.monotonic() - wall:.1f}")
    fresh = not times.is_file()
    with times.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, row] if fresh else [row])


def times_of(times: Path) -> list[dict[str, str]]:
    """What `do` wrote; nothing where it was not called."""
    if not times.is_file():
        return []
    with times.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def times_table(times: Path) -> str:
    """Every command with its time and the sum, in Markdown; without the folder in which the experiments lay."""
    rows = times_of(times)
    lines = [(f"`{re.sub(FOLDER, 'experiments/', row['command'])}`", row["processor_s"], row["wall_s"]) for row in rows]
    total = sum(float(row["processor_s"]) for row in rows)
    return markdown_table(("command", "processor, s", "wall, s"), [*lines, ("all", f"{total:.0f}", "")])
