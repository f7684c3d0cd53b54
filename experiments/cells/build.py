"""Cells under a microscope, read by five persons with two tools: ``python build.py bubil1_256.npz OUT``.

Makes a dataset for each of `FOLDS` folds, so that over all of them every image is tested once.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.io.atomic import write_bytes, write_text
from probseg.splits import Patient, split_by_fold

FOLDS = 4
SEED = 0
TWICE = "Person2_ImageJ"
"""Holds the same masks as Person2_Amira in every image, so that it is no second reading and is left out."""
DATASET = """\
# Written by build.py of experiments/cells: fold {fold} of {folds}.
name: cells-fold-{fold}
dimensions: 2
labels:
  classes:
    - {{value: 0, name: background}}
    - {{value: 1, name: cell, colour: "#e4572e"}}
window: [0, 255]
raters: {{stable: true}}
stack: cells.npz
note: >-
  BU-BIL, phase-contrast images of cells (Gurari et al., WACV 2015, doi:10.1109/WACV.2015.160), BSD 4-clause; reduced to
  256 columns before and scaled in intensity here.
"""

Arrays = dict[str, NDArray]


def scaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image whose median is 96 and whose standard deviation is 32, clipped: the lamps differ threefold."""
    values = image.astype(np.float64)
    shifted = (values - np.median(values)) / max(float(values.std()), 1.0)
    return np.clip(np.rint(96 + 32 * shifted), 0, 255).astype(np.uint8)


def readings(source: Arrays) -> Arrays:
    """Images and masks of the nine readings that differ; raises where the one left out is not a copy."""
    names = [str(name) for name in source["annotator"]]
    copy, kept = names.index(TWICE), [k for k, name in enumerate(names) if name != TWICE]
    twin = names.index(TWICE.replace("ImageJ", "Amira"))
    if not np.array_equal(source["masks"][:, copy], source["masks"][:, twin]):
        raise SystemExit(f"{TWICE} is a reading of its own in this file; keep it")
    return {
        "image": np.stack([scaled(image) for image in source["image"]]),
        "masks": source["masks"][:, kept],
        "annotator": np.array([names[k].replace("_", "-") for k in kept]),
        "case": np.array([str(name).removesuffix(".png") for name in source["case"]]),
    }


def split_of(cases: list[str], fold: int) -> dict[str, str]:
    """Case to split: a fold is tested and the rest trained on, but for one image that the trainer wants to validate.

    The validation chooses nothing, and so few images are not to be spared for it.
    """
    split = split_by_fold([Patient((case,), ("",), True) for case in sorted(cases)], FOLDS, fold, SEED)
    spared = [case for case in sorted(cases) if split[case] == "validation"]
    return split | dict.fromkeys(spared[1:], "train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="bubil1_256.npz")
    parser.add_argument("out", type=Path, help="gets fold-0 and so on")
    arguments = parser.parse_args()
    with np.load(arguments.source) as archive:
        arrays = readings({name: archive[name] for name in archive.files})
    for fold in range(FOLDS):
        split = split_of(arrays["case"].tolist(), fold)
        folder = arguments.out / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, split=np.array([split[case] for case in arrays["case"].tolist()]), **arrays)
        write_bytes(folder / "cells.npz", buffer.getvalue())
        write_text(folder / "dataset.yaml", DATASET.format(fold=fold, folds=FOLDS))
        counts = {name: list(split.values()).count(name) for name in ("train", "validation", "test")}
        print(f"{folder}: " + ", ".join(f"{name} {n}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
