"""``probseg import dicom``: the CT series of an export, in whatever folders, with the masks of their raters."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from probseg.errors import ProbsegError, warn
from probseg.importing.scans import Content, Scan, configure_import, import_scans
from probseg.importing.series import Series, group_slices, ordered_series, read_series
from probseg.io.dicom.order import short_uid
from probseg.io.dicom.slices import Slice

DESCRIPTION = "a tree of DICOM CT series, with the masks of any number of raters; files are copied as they are"
EXAMPLE = (
    "probseg import dicom export --masks 'anna=masks/anna/{case}.nii.gz' 'ben=masks/ben/{case}.seg.nrrd' --out dataset"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="FOLDER", help="tree of DICOM files, in folders of any kind")
    parser.add_argument("--list", action="store_true", help="only show the series and the case ids that they would get")
    parser.add_argument("--series", nargs="+", metavar="NAME", help="only these series, by the short names of --list")
    configure_import(parser)


def run(args: argparse.Namespace) -> int:
    """Import, then say what was written and what to do next."""
    from probseg.importing.summary import tell
    from probseg.progress import followed

    if args.list and (args.masks or args.out):
        raise ProbsegError("E_USAGE", "--list only shows the series; leave --masks and --out away")
    grouped = group_slices(args.source, lambda files: followed(files, len(files), "files"))
    names = _case_ids(args.source, list(grouped))
    if args.list:
        return _show(args.source, grouped, names)
    chosen = _chosen(args, grouped)
    series = [(ordered_series(folder, grouped[folder, uid]), names[folder, uid]) for folder, uid in chosen]
    patients = {name: f"patient-{k:04d}" for k, name in enumerate(dict.fromkeys(s.patient_id for s, _ in series), 1)}
    scans = [_scan(s, name, patients[s.patient_id], args) for s, name in series]
    return tell(import_scans(args, scans, 3, followed))


def _chosen(args: argparse.Namespace, grouped: dict[tuple[Path, str], list[Slice]]) -> list[tuple[Path, str]]:
    """The series asked for, or every one of several slices."""
    if args.series is not None:
        known = {short_uid(uid) for _, uid in grouped}
        strange = [name for name in args.series if name not in known]
        if strange:
            raise ProbsegError("E_SCHEMA", f"there is no series '{strange[0]}' below '{args.source}'; see --list")
        return [key for key in grouped if short_uid(key[1]) in args.series]
    volumes = [key for key, slices in grouped.items() if len(slices) > 1]
    single = len(grouped) - len(volumes)
    if single:
        warn("W_SINGLE_SLICE", f"{single} of {len(grouped)} series below '{args.source}' have one slice and stay out")
    if not volumes:
        raise ProbsegError("E_TOO_FEW_SLICES", f"no series below '{args.source}' has two or more slices")
    return volumes


def _case_ids(root: Path, keys: Sequence[tuple[Path, str]]) -> dict[tuple[Path, str], str]:
    """The folder below ``root``; with the short name of the series where a folder holds several."""
    counts = Counter(folder for folder, _ in keys)
    names = {}
    for folder, uid in keys:
        parts = [*folder.relative_to(root).parts]
        if counts[folder] > 1 or not parts:
            parts.append(short_uid(uid))
        names[folder, uid] = "_".join(parts)
    return names


def _scan(series: Series, name: str, patient: str, args: argparse.Namespace) -> Scan:
    def read() -> Content:
        from probseg.case import to_canonical

        volume, stored = read_series(series)  # every pixel is decoded once, so that the dataset is known to be sound
        return None, series.files, to_canonical(volume, stored)[1], stored

    short = short_uid(series.uid)
    folder = series.folder.relative_to(args.source).as_posix()
    return Scan(name, patient, args.site, "", short, (short, folder, str(series.folder), name), read)


def _show(root: Path, grouped: dict[tuple[Path, str], list[Slice]], names: dict[tuple[Path, str], str]) -> int:
    """One line a series; what is wrong with one is said in its line."""
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table("series", "case", "slices", "rows x columns", "spacing mm", "folder", box=None, pad_edge=False)
    wrong = 0
    for (folder, uid), slices in grouped.items():
        size = f"{slices[0].rows} x {slices[0].columns}"
        try:
            grid = ordered_series(folder, slices).geometry
            told = " x ".join(f"{s:.3g}" for s in grid.spacing or ())
        except ProbsegError as error:
            told = error.code
            wrong += 1
        place = folder.relative_to(root).as_posix()
        table.add_row(short_uid(uid), names[folder, uid], str(len(slices)), size, told, place)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(table)
    if wrong:
        print(f"{wrong} of {len(grouped)} series are no volume; leave them out with --series")
    print(f"next: probseg import dicom {root} --masks 'NAME=masks/{{case}}.nii.gz' --out dataset")
    return 0
