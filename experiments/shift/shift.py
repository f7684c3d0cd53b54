"""Adapt and test: ``python experiments/shift/shift.py lidc SOURCE DATASET OUT`` or ``synthetic`` in its place.

Every step is a command of probseg, called within one process to spare its start; they are printed as one would type
them, and their processor time goes to ``OUT/times.csv``. A run that has been tested is left as it is.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import time
from pathlib import Path

from probseg.cli import main as probseg

# name of the run, of the run that it comes from, method and its settings, patients, site
Step = tuple[str, str, str, tuple[str, ...], int | None, str]


def steps_of(experiment: str) -> list[Step]:
    """What to do, in order."""
    near, far = ("sharp", "blurred") if experiment == "lidc" else ("north", "south")
    statistics, entropy = "NormalisationStatistics", "EntropyMinimisation"
    steps: list[Step] = [
        ("statistics", "source", statistics, (), None, far),
        ("finetune-8", "source", "FineTune", ("steps=60",), 8, far),
        ("recalibration-8", "source", "Recalibration", (), 8, far),
        ("entropy", "source", entropy, (), None, far),
        ("finetune-2", "source", "FineTune", ("steps=60",), 2, far),
        ("recalibration-2", "source", "Recalibration", (), 2, far),
        ("statistics-entropy", "statistics", entropy, (), None, far),
        ("entropy-fast", "source", entropy, ("learning_rate=0.001",), None, far),
        ("statistics-at-source", "source", statistics, (), None, near),
    ]
    return steps


def words_of(step: Step, source: Path, dataset: Path, out: Path, splits: list[str]) -> list[str]:
    """The adaptation as a command."""
    name, of, method, settings, patients, site = step
    run = source if of == "source" else out / of
    words = ["adapt", str(run), "--method", method, "--data.root", str(dataset), "--site", site, "--split", *splits]
    words += ["--set", *settings] if settings else []
    words += ["--cases", str(patients)] if patients is not None else []
    return [*words, "--seed", "0", "--out", str(out / name)]


def do(words: list[str], out: Path) -> None:
    """One command, timed."""
    print(f"$ probseg {shlex.join(words)}", flush=True)
    wall, processor = time.monotonic(), time.process_time()
    if probseg(words):
        raise SystemExit(f"probseg {words[0]} failed")
    row = (f"probseg {shlex.join(words)}", f"{time.process_time() - processor:.1f}", f"{time.monotonic() - wall:.1f}")
    with (out / "times.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=("lidc", "synthetic"))
    parser.add_argument("source", type=Path, help="run folder of the source; only read")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--only", nargs="+", help="names of steps")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    lidc = arguments.experiment == "lidc"
    test = ["--data.sites=null", f"--model.init_args.draws={arguments.draws}"]
    if not (out / "source" / "results.csv").is_file():
        best = arguments.source / "checkpoints" / "best.ckpt"
        words = ["test", "-c", str(arguments.source / "config.yaml"), f"--ckpt_path={best}"]
        do([*words, f"--data.root={arguments.dataset}", *test, f"--out={out / 'source'}"], out)
    splits = ["calibration"] if lidc else ["train", "validation", "calibration"]
    for step in steps_of(arguments.experiment):
        if (out / step[0] / "results.csv").is_file() or (arguments.only and step[0] not in arguments.only):
            continue
        do([*words_of(step, arguments.source, arguments.dataset, out, splits), "--overwrite"], out)
        do(["test", "-c", str(out / step[0] / "config.yaml"), *test], out)


if __name__ == "__main__":
    main()
