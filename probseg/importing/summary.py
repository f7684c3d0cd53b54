"""What an import says at its end."""

from __future__ import annotations

from pathlib import Path

from probseg.manifest import open_dataset

__all__ = ["tell"]


def tell(folder: Path) -> int:
    """Print what was written and what to do next; 0, the exit status."""
    dataset = open_dataset(folder)
    readings = sum(len(r.readings) for r in dataset.records)
    print(
        f"wrote {folder}: {len(dataset)} cases of {len(dataset.patients)} patients, {readings} readings of "
        f"{len(dataset.raters)} raters"
    )
    print(f"next: probseg check {folder}")
    return 0
