"""Train, test and report, two lanes side by side with one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path

from rich.console import Console

from probseg.errors import ProbsegError
from probseg.io.tables import write_csv

__all__ = ["FAMILIES", "run_demo"]

FAMILIES = ("probabilistic_unet", "ensemble", "monte_carlo_dropout", "deterministic")
_LANES = (("deterministic", "probabilistic_unet", "monte_carlo_dropout"), ("ensemble",))
_WARM = ("probabilistic_unet", "monte_carlo_dropout")
# Steps of each training, and the minutes and seconds after which it ends all the same on a slower machine.
_BUDGET = {
    "deterministic": (800, "00:00:01:20"),
    "probabilistic_unet": (600, "00:00:02:15"),
    "monte_carlo_dropout": (150, "00:00:00:20"),
    "ensemble": (600, "00:00:01:15"),  # each member
}


def run_demo(out: Path, steps: int | None = None) -> Path:
    """Train the four families on the bundled sample, evaluate them and the raters, and write the report.

    Args:
        out: an empty or new folder; gets ``runs/FAMILY/``, ``results.csv`` and ``report.html``.
        steps: training steps of every family, for a quick trial; None for those of the demonstration.

    Returns:
        The path of the report.

    Raises:
        ProbsegError: E_DEMO when a training fails, naming its log.
    """
    console = Console(stderr=True)
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    processes = [_start(out, number, families, steps) for number, families in enumerate(_LANES)]
    watcher = threading.Event()
    with console.status("training four families, two at a time") as status:
        while any(p.poll() is None for p in processes):
            done = [f for f in FAMILIES if (out / "runs" / f / "results.csv").exists()]
            words = f"done: {', '.join(done)}" if done else "first family"
            status.update(f"training four families, two at a time; {words}; {time.monotonic() - start:.0f} s")
            if any(p.poll() for p in processes):
                break
            watcher.wait(0.5)
    failed = [number for number, p in enumerate(processes) if (p.poll() or 0) > 0]
    for process in processes:
        if failed:
            process.terminate()
        process.wait()
    failed = failed or [number for number, p in enumerate(processes) if p.returncode]
    if failed:
        log = out / "logs" / f"lane-{failed[0]}.txt"
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:] or ["no output"]
        raise ProbsegError("E_DEMO", f"a training of the demo failed: {last[0]}; see '{log}'")
    return _finish(out)


def _start(out: Path, number: int, families: tuple[str, ...], steps: int | None) -> subprocess.Popen[bytes]:
    """One lane: a process with one thread that trains and tests its families in turn."""
    commands = [words for family in families for words in _commands(out, family, steps)]
    (out / "logs").mkdir(exist_ok=True)
    # Large pages for torch's buffers: fresh memory is most of what small networks wait for.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}
    with (out / "logs" / f"lane-{number}.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "probseg.demo.lane", json.dumps(commands)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )


def _commands(out: Path, family: str, steps: int | None) -> list[list[str]]:
    configs = resources.files("probseg.demo") / "configs"
    run = out / "runs" / family
    fit = ["fit"]
    for name in ("trainer", "data", family):
        fit += ["-c", str(configs / f"{name}.yaml")]
    fit += ["--out", str(run), "--trainer.enable_progress_bar=false"]
    if family in _WARM:
        fit.append(f"--model.init_args.warm_start={out / 'runs' / 'deterministic' / 'checkpoints' / 'best.ckpt'}")
    most, longest = _BUDGET[family]
    if family == "monte_carlo_dropout":
        fit.append("--model.init_args.optimizer.init_args.lr=0.001")  # it goes on from trained weights
    if steps is not None:
        fit.append(f"--data.epoch_length={16 * steps}")
    fit += [f"--trainer.max_steps={steps or most}", f"--trainer.max_time={longest}"]
    return [fit, ["test", "-c", str(run / "config.yaml")]]


def _finish(out: Path) -> Path:
    """The raters in the model's place, one table of all, and the page."""
    from probseg.data.datamodule import MultiRaterData
    from probseg.report import build_report
    from probseg.results import evaluate_raters

    data = MultiRaterData("lidc-sample")
    runs = out / "runs"
    evaluate_raters(runs / "raters", data.examples("test"), data.info, "probseg demo")
    rows = []
    for family in (*FAMILIES, "raters"):
        lines = (runs / family / "results.csv").read_text(encoding="utf-8").splitlines()
        for name, metric, *numbers in (line.split(",") for line in lines[1:]):
            rows.append((name, metric, *(float(v) if v else None for v in numbers[:3]), int(numbers[3])))
    write_csv(out / "results.csv", ("family", "metric", "value", "low", "high", "n"), rows)
    return build_report([runs / family for family in (*FAMILIES, "raters")], out / "report.html")
