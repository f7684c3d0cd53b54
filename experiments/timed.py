"""Commands of probseg within one process, which spares their start, each with its processor time."""

from __future__ import annotations

import csv
import os
import shlex
import time
from pathlib import Path

from probseg.cli import main as probseg

__all__ = ["COLUMNS", "command_of", "do", "times_of"]

COLUMNS = ("command", "processor_s", "wall_s")


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
