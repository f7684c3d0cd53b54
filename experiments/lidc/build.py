"""Make the data of this experiment: ``python build.py lidc_dev_128.npz data/lidc_128``.

Splits by patient and shuffles the mask slots of every nodule as the bundled sample's script does, by a keyed hash that
no version of Python or NumPy can change.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "lidc_sample_build"))
from build import shuffle_key, shuffle_slots, splits_of  # the sample's own script

SHARES = {"train": 0.70, "validation": 0.06, "calibration": 0.06, "test": 0.18}  # of the patients
DATASET = """\
# Written by build.py. Axial crops of lung nodules of LIDC-IDRI with the masks of four radiologists.
name: lidc-128
dimensions: 2
labels:
  classes:
    - {value: 0, name: background}
    - {value: 1, name: nodule, colour: "#e4572e"}
window: [0, 255]
raters:
  # The four mask slots are not four persons: they are shuffled nodule by nodule.
  stable: false
stack: lidc_128.npz
"""


def split_hash(split: dict[str, str]) -> str:
    """SHA-256 of ``patient split`` lines in the order of patients; the same for the same split."""
    lines = "".join(f"{patient} {name}\n" for patient, name in sorted(split.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="lidc_dev_128.npz")
    parser.add_argument("target", type=Path, help="the dataset folder to make")
    arguments = parser.parse_args()
    with np.load(arguments.source) as archive:
        source = {name: archive[name] for name in archive.files}
    patients = sorted(set(source["patient"].tolist()), key=lambda patient: shuffle_key("patient", patient))
    split = splits_of(patients, SHARES)
    arrays = source | {
        "masks": shuffle_slots(source),
        "split": np.array([split[p] for p in source["patient"].tolist()]),
    }
    arguments.target.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.target / "lidc_128.npz", **arrays)
    (arguments.target / "dataset.yaml").write_text(DATASET, encoding="utf-8")
    for name in SHARES:
        chosen = arrays["split"] == name
        print(f"{name}: {len(set(source['patient'][chosen]))} patients, {chosen.sum()} slices")
    print(f"split sha256 {split_hash(split)}")


if __name__ == "__main__":
    main()
