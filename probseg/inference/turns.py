"""Scans one at a time for a process that shares them with others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import DataLoader, DistributedSampler
from torch.utils.data import Dataset as TorchDataset

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.inference.failures import NothingLeft, ScanFailure, Turn, failure_of
from probseg.inference.inputs import Scan
from probseg.inference.shared_run import SharedRun

__all__ = ["Turns", "scan_loader"]


class Turns(TorchDataset[Turn]):
    """As many turns as there are scans; each reads the next scan that nobody else does and that is not done.

    Which scan a turn gets is decided when it comes, so that a process that is slow, or comes late, gets fewer of them.
    A scan that cannot be read is a `ScanFailure`, so that the rest go on.
    """

    def __init__(self, scans: Sequence[Scan], run: SharedRun) -> None:
        self._number = len(scans)
        self._left = deque(scans)
        self._run = run

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, turn: int) -> Turn:
        """Claim and read a scan. Those that others are at come last, for they may be given up meanwhile."""
        for _ in range(len(self._left)):
            scan = self._left.popleft()
            if not self._run.take(scan.case_id):
                if not self._run.is_settled(scan.case_id):
                    self._left.append(scan)
                continue
            found = self._read(scan)
            if found is not None:
                return found
        return NothingLeft()

    def _read(self, scan: Scan) -> Case | ScanFailure | None:
        """The scan; None where its result is there already."""
        try:
            kept = self._run.kept(scan.case_id)
            case = replace(scan.load(), case_id=scan.case_id)
            return None if kept is not None and self._run.keep(case, kept) else case
        except ProbsegError as error:
            if error.code == "E_NOT_WRITABLE":  # no fault of the scan
                raise
            return ScanFailure(scan.case_id, error)
        except Exception as error:
            return failure_of(scan.case_id, error)


def scan_loader(scans: Sequence[Scan], run: SharedRun) -> DataLoader[Turn]:
    """A loader that gives one scan at a time; no two are in memory together."""
    turns = Turns(scans, run)
    # Every process takes turns until nothing is left. Lightning would give each a fixed share instead, unless the
    # loader has a sampler of this type already.
    sampler: DistributedSampler[int] = DistributedSampler(turns, num_replicas=1, rank=0, shuffle=False)
    return DataLoader(turns, batch_size=1, collate_fn=_only, sampler=sampler)


def _only(items: list[Turn]) -> Turn:
    (item,) = items
    return item
