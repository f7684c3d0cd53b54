"""``probseg prepare``: a dataset converted once, so that training reads slices and patches without their scans."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = (
    "Convert a dataset once into a store from which any slice or patch is read alone. Only cases that changed since "
    "the last time are converted, and a preparation that was stopped goes on where it was."
)
EXAMPLE = "probseg prepare synthetic-ct --workers 4"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder with dataset.yaml and cases.csv")
    parser.add_argument("--out", type=Path, metavar="STORE", help="the store (default: DATASET/.store)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: as many as there are cores)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="read all files and the whole store again, instead of trusting sizes and times of files",
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, then say what was done and what to do next."""
    from joblib import cpu_count

    from probseg.manifest import open_dataset
    from probseg.progress import followed
    from probseg.store import prepare

    dataset = open_dataset(args.dataset).require_images()
    workers = cpu_count() if args.workers is None else args.workers
    done = prepare(dataset, args.out, workers, followed, args.check)
    images, masks = (f"{size / 1e6:.1f} MB" for size in (done.image_bytes, done.mask_bytes))
    print(
        f"{done.folder}: {len(done.made)} cases converted, {len(done.kept)} up to date, {len(done.removed)} removed; "
        f"images {images}, masks {masks}, which is {done.mask_bytes / done.raw_mask_bytes:.1%} of one byte a voxel"
    )
    where = "" if args.out is None else f" --data.store={args.out}"
    print(f"next: probseg fit -c trainer.yaml -c data.yaml -c family.yaml --data.root={args.dataset}{where}")
    return 0
