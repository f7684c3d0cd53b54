"""Make the LIDC sample that ships inside the package: ``python build.py lidc_small_64.npz [TARGET]``.

Patients and mask slots are put in an order by a keyed hash, which no version of Python or NumPy can change.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 2020
MAX_BYTES = 1_600_000
SHARES = {"train": 0.55, "validation": 0.10, "calibration": 0.12, "test": 0.23}  # of the patients
TARGET = Path(__file__).parents[2] / "probseg" / "data" / "lidc_sample" / "lidc_sample.npz"

Arrays = dict[str, NDArray]


def shuffle_key(*parts: object) -> bytes:
    """A number that looks random and depends on the seed and the parts only; sorting by it shuffles."""
    return hashlib.sha256(":".join(map(str, (SEED, *parts))).encode()).digest()


def splits_of(patients: list[str], shares: dict[str, float] = SHARES) -> dict[str, str]:
    """Patient to split, the shares rounded in order, so that the last one takes what is left."""
    bounds = np.rint(np.cumsum(list(shares.values())) * len(patients)).astype(int)
    which = np.searchsorted(bounds, np.arange(len(patients)), side="right")
    return {patient: list(shares)[k] for patient, k in zip(patients, which, strict=True)}


def shuffle_slots(source: Arrays) -> NDArray[np.uint8]:
    """``(n, slots, rows, packed columns)`` with the slots of each nodule in an order of its own.

    The source fills slots from 0, so that a slot would otherwise tell how many readers marked the nodule.
    """
    masks = source["masks"].copy()
    for k, (patient, nodule) in enumerate(zip(source["patient"], source["nodule"], strict=True)):
        keys = [shuffle_key(patient, nodule, slot) for slot in range(masks.shape[1])]
        masks[k] = masks[k, sorted(range(len(keys)), key=keys.__getitem__)]
    return masks


def select(source: Arrays, count: int) -> Arrays:
    """All nodules of the first ``count`` patients of the shuffled list, slots shuffled, with their split."""
    patients = sorted(set(source["patient"].tolist()), key=lambda patient: shuffle_key("patient", patient))[:count]
    split = splits_of(patients)
    kept = np.flatnonzero(np.isin(source["patient"], patients))
    chosen = {name: array[kept] for name, array in (source | {"masks": shuffle_slots(source)}).items()}
    return chosen | {"split": np.array([split[p] for p in chosen["patient"].tolist()])}


def pack(arrays: Arrays) -> bytes:
    """An NPZ file as bytes: hardest deflate, no dates, so that the same arrays give the same file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def largest(source: Arrays) -> bytes:
    """The sample with the most patients that still fits ``MAX_BYTES``."""
    fits, too_many = 0, len(set(source["patient"].tolist())) + 1
    best = b""
    while too_many - fits > 1:
        count = (fits + too_many) // 2
        data = pack(select(source, count))
        if len(data) <= MAX_BYTES:
            fits, best = count, data
        else:
            too_many = count
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="lidc_small_64.npz")
    parser.add_argument("target", type=Path, nargs="?", default=TARGET)
    arguments = parser.parse_args()
    with np.load(arguments.source) as archive:
        source = {name: archive[name] for name in archive.files}
    data = largest(source)
    arguments.target.write_bytes(data)
    with np.load(io.BytesIO(data)) as sample:
        for split in SHARES:
            chosen = sample["split"] == split
            print(f"{split}: {len(set(sample['patient'][chosen]))} patients, {chosen.sum()} nodules")
    print(f"{arguments.target}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
