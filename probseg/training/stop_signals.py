"""Signals that end a training in good order: what it has learnt is saved first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

__all__ = ["StopSignals", "TrainingStopped"]


class TrainingStopped(Exception):
    """A training that a signal ended, after its checkpoint was written.

    Args:
        number: of the signal.
        step: steps that were done.
    """

    def __init__(self, number: int, step: int) -> None:
        super().__init__(number, step)
        self.number = number
        self.step = step

    @property
    def status(self) -> int:
        """Exit status as shells have it: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self.number


class StopSignals:
    """Notes the first signal, for the training to stop at the next step; a second one ends the process at once.

    A signal often goes to all processes of a job. That loader processes end by it is then no fault, which torch would
    otherwise raise in the middle of the step.

    Attributes:
        received: number of the signal; 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._of_children: Any = None

    def listen(self, *numbers: int) -> None:
        """From now on; only the main thread can."""
        self.received = 0
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._note) for number in numbers}

    def ignore(self) -> None:
        """As it was before `listen`."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._of_children is not None:
            signal.signal(signal.SIGCHLD, self._of_children)
        self._before, self._of_children = {}, None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self.received = number
            self._of_children = signal.signal(signal.SIGCHLD, lambda *_: None)
            if number == signal.SIGINT:
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopping; Ctrl-C again stops at once\n")
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
