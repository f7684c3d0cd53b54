"""Two implementations timed in one run, turn by turn, with proof that they give the same."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Comparison", "Timed", "compare", "main"]

_ROUNDS = 7


@dataclass(frozen=True)
class Timed:
    """What a function returns that measures itself, such as one whose work is done in another process."""

    seconds: float
    result: Any


@dataclass(frozen=True)
class Comparison:
    """How a job went.

    Attributes:
        job: its name.
        peer: who it is compared with.
        ours_s, peer_s: seconds of each round.
        equal: whether both gave the same.
        further: other measured figures, by name.
    """

    job: str
    peer: str
    ours_s: Sequence[float]
    peer_s: Sequence[float]
    equal: bool
    further: dict[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The peer's time over ours, round by round: above 1 we are faster."""
        return [b / a for a, b in zip(self.ours_s, self.peer_s, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """What the JSON holds of this job."""
        ratios = self.ratios
        return {
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
            "peer": self.peer,
            "equal": self.equal,
            "rounds": len(ratios),
            "ours_s": statistics.median(self.ours_s),
            "peer_s": statistics.median(self.peer_s),
        } | self.further

    def __str__(self) -> str:
        figures = [
            f"{name} {statistics.median(v):.4g} s ({min(v):.4g} to {max(v):.4g})"
            for name, v in (("ours", self.ours_s), (self.peer, self.peer_s))
        ]
        ratio = f"ratio {statistics.median(self.ratios):.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})"
        further = [f"{name} {value:.3g}" for name, value in self.further.items()]
        return f"{self.job}: " + ", ".join([*figures, ratio, "equal" if self.equal else "NOT EQUAL", *further])


def compare(
    job: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    peer_name: str,
    equal: Callable[[Any, Any], bool],
    rounds: int = _ROUNDS,
) -> Comparison:
    """Time two functions.

    Both run once unmeasured, which warms caches and proves their results equal; then a round runs each once, and who
    goes first alternates, so that neither a slow minute of the machine nor the order favours one.

    Args:
        job: name of the job.
        ours: takes nothing and returns its result, as `Timed` if it measures itself.
        peer: the same by someone else.
        peer_name: library and call.
        equal: whether two results are the same.
        rounds: five or more.
    """
    if rounds < 5:
        raise ValueError(f"a median needs at least five rounds, not {rounds}")
    same = equal(ours(), peer())
    seconds: dict[Callable[[], Any], list[float]] = {ours: [], peer: []}
    for k in range(rounds):
        for function in (ours, peer) if k % 2 == 0 else (peer, ours):
            start = time.perf_counter()
            result = function()
            elapsed = time.perf_counter() - start
            seconds[function].append(result.seconds if isinstance(result, Timed) else elapsed)
            del result
    return Comparison(job, peer_name, seconds[ours], seconds[peer], same)


def main(jobs: Sequence[Callable[[], Iterable[Comparison]]], description: str) -> int:
    """The command line of a benchmark: runs the jobs, prints a line each, writes the JSON.

    Returns:
        Exit status: 1 where results were not equal.
    """
    names = [job.__name__ for job in jobs]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--job", choices=names, action="append", help="only this one; may be given again")
    args = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    found = {}
    for job in jobs:
        if args.job and job.__name__ not in args.job:
            continue
        for comparison in job():
            print(comparison, flush=True)
            found[comparison.job] = comparison.to_dict()
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(entry["equal"] for entry in found.values()) else 1
