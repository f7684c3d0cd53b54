"""What a training cost, from its run folder or from what `keep_records.py` kept of it."""

from __future__ import annotations

import json
from pathlib import Path

from probseg.models.checkpoints import read_checkpoint

__all__ = ["KEPT", "processor_seconds"]

KEPT = "processor_time.json"


def processor_seconds(run: Path) -> float | None:
    """What `CpuBudget` counted, over all members of an ensemble; None where none of them had a budget."""
    if (run / KEPT).is_file():
        return float(json.loads((run / KEPT).read_text(encoding="utf-8"))["processor_seconds"])
    members = sorted((run / "members").glob("*")) if (run / "members").is_dir() else [run]
    found = [seconds for seconds in map(_of_one, members) if seconds is not None]
    return sum(found) if found else None


def _of_one(run: Path) -> float | None:
    checkpoint = run / "checkpoints" / "last.ckpt"  # not written where nothing was trained
    callbacks = read_checkpoint(checkpoint)["callbacks"] if checkpoint.is_file() else {}
    return next((float(s["cpu_seconds"]) for name, s in callbacks.items() if name.startswith("CpuBudget")), None)
