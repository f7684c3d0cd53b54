"""What the model's doubt is made of, over the scans that it predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probseg.errors import ProbsegError
from probseg.io.predicted import read_json
from probseg.report.inputs import StoredPredictions
from probseg.report.table import figure_text

__all__ = ["Shares", "shares_of"]

_PARTS = ("epistemic", "ambiguity", "noise")


@dataclass(frozen=True)
class Shares:
    """Of one folder of predictions: its name, how many scans, and the share of the entropy that each part makes."""

    name: str
    scans: int
    shares: tuple[tuple[str, float], ...]

    @property
    def sentence(self) -> str:
        """In words."""
        parts = [f"{figure_text(100 * share, 0)} % {name}" for name, share in self.shares]
        scans = "scan" if self.scans == 1 else f"{self.scans} scans"
        return f"Of the entropy of the {scans} in {self.name}, {', '.join(parts)}."


def shares_of(predictions: Sequence[StoredPredictions]) -> list[Shares]:
    """Of every folder whose scans have any entropy.

    Raises:
        ProbsegError: E_SCHEMA where a summary is not what ``probseg predict`` writes.
    """
    found = []
    for one in predictions:
        total, parts = 0.0, dict.fromkeys(_PARTS, 0.0)
        for case_id in one.case_ids:
            path = one.folder / case_id / "summary.json"
            summary = read_json(path)
            try:
                nats, voxels = summary["uncertainty_nats"], _voxels(summary)
                total += voxels * float(nats["entropy"]["scan"])
                for name in _PARTS:
                    parts[name] += voxels * float(nats[name]["scan"])
            except (KeyError, TypeError, ValueError) as error:
                raise ProbsegError("E_SCHEMA", f"'{path}' is not what probseg predict writes: {error!r}") from error
        if total > 0:
            shares = tuple((name, value / total) for name, value in parts.items())
            found.append(Shares(one.folder.resolve().name, len(one.case_ids), shares))
    return found


def _voxels(summary: Mapping[str, Any]) -> int:
    count = 1
    for n in summary["shape"]:
        count *= int(n)
    return count
