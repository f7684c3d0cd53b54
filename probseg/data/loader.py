"""Training batches that go on where they were, whatever the number of processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from probseg.batch import Batch, Example, collate
from probseg.data.examples import Examples
from probseg.data.keyed import key, seeded
from probseg.data.order import Order
from probseg.errors import ProbsegError

__all__ = ["TrainingLoader", "leave_signals_to_the_trainer"]

_PATIENCE_S = 5.0  # between two looks at the loader processes
_CHANGES = 1  # what the keys of this file are for, apart from those of the order


class TrainingLoader:
    """The batches of an `Order`, cut into epochs; loader processes work on across the end of an epoch.

    Batch n of the training holds the same examples, changed in the same way, whether one process loads it or many, and
    whether the training was interrupted before it. The examples of a step over several devices are those of a step on
    one device with as many examples.

    Args:
        examples: what is drawn from.
        order: which example comes at which position.
        batch_size: examples a batch of this device.
        batches: batches an epoch.
        device, devices: number of this device and how many share each step.
        num_workers: loader processes; 0 loads in this process.
        timeout_s: how long the loader processes may take for a batch.

    Attributes:
        between: called before each batch, when everything about the one before is done; None for nothing.
    """

    def __init__(
        self,
        examples: Examples,
        order: Order,
        batch_size: int,
        batches: int,
        device: int = 0,
        devices: int = 1,
        num_workers: int = 0,
        timeout_s: float = 600.0,
    ) -> None:
        self.examples = examples
        self.order = order
        self.batch_size = batch_size
        self.batches = batches
        self.device = device
        self.devices = devices
        self.num_workers = num_workers
        self.timeout_s = timeout_s
        self.between: Callable[[], None] | None = None
        self._drawn = 0
        self._iterator: Iterator[Batch] | None = None  # of this name, for Lightning ends its processes

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        """One epoch from where the last batch was."""
        for _ in range(self.batches):
            if self.between is not None:
                self.between()
            if self._iterator is None:
                self._iterator = iter(self._stream(self._drawn))
            batch = self._next(self._iterator)
            self._drawn += 1
            yield batch

    def _next(self, iterator: Iterator[Batch]) -> Batch:
        """Ask again and again: at each time torch looks whether the loader processes are still there."""
        end = time.monotonic() + self.timeout_s
        while True:
            try:
                return next(iterator)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader timed out"):
                    raise
                if time.monotonic() >= end:
                    raise ProbsegError(
                        "E_LOADER_HANGS",
                        f"the loader processes gave no batch within {self.timeout_s:g} s; look at the disk of the data "
                        "or raise data.worker_timeout_s, then go on with --resume",
                    ) from error

    def state_dict(self) -> dict[str, int]:
        """How many batches were drawn since the training began."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self._drawn = state["drawn"]
        self._iterator = None

    def _stream(self, start: int) -> DataLoader[Any]:
        return DataLoader(
            _Changed(self.examples, self.order.seed),
            batch_sampler=_Positions(self, start),
            collate_fn=collate,
            num_workers=self.num_workers,
            timeout=min(_PATIENCE_S, self.timeout_s) if self.num_workers else 0,
            worker_init_fn=leave_signals_to_the_trainer,
        )


class _Positions:
    """For each batch from ``start`` on the positions and examples of this device."""

    def __init__(self, loader: TrainingLoader, start: int) -> None:
        self._loader = loader
        self._start = start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        loader, batch = self._loader, self._start
        while True:
            first = (batch * loader.devices + loader.device) * loader.batch_size
            yield [(place, loader.order[place]) for place in range(first, first + loader.batch_size)]
            batch += 1


class _Changed(TorchDataset[Example]):
    """Examples with random changes that depend on the position alone."""

    def __init__(self, examples: Examples, seed: int) -> None:
        self._examples = examples
        self._seed = seed

    def __getitem__(self, place: tuple[int, int]) -> Example:
        position, index = place
        with seeded(key(self._seed, _CHANGES, position)):
            return self._examples[index]


def leave_signals_to_the_trainer(_: int = 0) -> None:
    """A loader process neither stops at Ctrl-C nor saves what its parent, which got the same signal, saves."""
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
