"""How far a run over many scans is, and how long it still takes; silent where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from types import TracebackType

__all__ = ["ScanProgress", "time_left_s"]


def time_left_s(spent_s: float, worked: float, left: float) -> float | None:
    """Seconds that the rest will take if it goes on as before; None before anything was worked.

    Args:
        spent_s: seconds since the work began.
        worked: scans done in them, with the share of those that are being done.
        left: scans still to do.
    """
    return spent_s * left / worked if worked > 0 else None


class ScanProgress:
    """A bar on a terminal's stderr: scans done of all, slices of the present one, time left over all scans.

    Args:
        scans: how many there are.
        counts: how many were done since the run was begun, by whichever process, and how many were there before.
        quiet: show nothing; default: where stderr is no terminal.
    """

    def __init__(self, scans: int, counts: Callable[[], tuple[int, int]], quiet: bool | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.quiet = not sys.stderr.isatty() if quiet is None else quiet
        self._scans, self._counts = scans, counts
        self._bar = Progress(
            TextColumn("{task.fields[scans]}"),
            BarColumn(),
            TextColumn("{task.fields[slices]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
            disable=self.quiet,
        )
        self._task = self._bar.add_task("", total=float(scans), scans="", slices="reading", left="")
        self._case_id: str | None = None
        self._done = self._kept = self._before = 0
        self._began_s = 0.0

    def __enter__(self) -> ScanProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def slices(self, case_id: str, done: int, total: int) -> None:
        """Tell that so many slices of a scan are done."""
        if self.quiet:
            return
        if case_id != self._case_id:  # a scan begins, so one may have ended, here or elsewhere
            first, self._case_id = self._case_id is None, case_id
            self._done, self._kept = self._counts()
            if first:
                self._began_s, self._before = monotonic(), self._done
        worked = self._done - self._before + done / total
        left = self._scans - self._done - self._kept - done / total
        seconds = time_left_s(monotonic() - self._began_s, worked, left)
        self._bar.update(
            self._task,
            completed=self._done + self._kept + done / total,
            scans=f"scan {min(self._done + self._kept + 1, self._scans)} of {self._scans}",
            slices=f"slice {done} of {total}",
            left="" if seconds is None else f"{_clock(seconds)} left",
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
