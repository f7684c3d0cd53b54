"""A few slices of every calibration and test patient: ``python subset.py data/lidc_128 data/lidc_128_subset``.

For figures that need predictions on disk, of which a file for each map and slice would be many. Slices are taken evenly
along each patient's, so that no model chooses them.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np


def evenly(count: int, wanted: int) -> list[int]:
    """Positions among ``count``, ``wanted`` of them at most, the ends included where there are two or more."""
    if wanted >= count:
        return list(range(count))
    return sorted({round(k) for k in np.linspace(0, count - 1, wanted)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="what build.py made")
    parser.add_argument("target", type=Path, help="the dataset folder to make")
    parser.add_argument("--slices", type=int, default=3, help="of a patient, at most")
    arguments = parser.parse_args()
    with np.load(arguments.source / "lidc_128.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    chosen: list[int] = []
    for patient in sorted(set(arrays["patient"].tolist())):
        own = np.flatnonzero(arrays["patient"] == patient)
        if arrays["split"][own[0]] in ("calibration", "test"):
            chosen += own[evenly(len(own), arguments.slices)].tolist()
    arguments.target.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.target / "lidc_128.npz", **{name: values[chosen] for name, values in arrays.items()})
    shutil.copy(arguments.source / "dataset.yaml", arguments.target)
    for name in ("calibration", "test"):
        part = arrays["split"][chosen] == name
        print(f"{name}: {len(set(arrays['patient'][chosen][part]))} patients, {part.sum()} slices")


if __name__ == "__main__":
    main()
