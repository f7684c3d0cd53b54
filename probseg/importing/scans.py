"""From scans and the masks of their raters to a dataset: what the kinds ``dicom`` and ``nifti`` have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.importing import patterns
from probseg.importing.build import SourceCase, SourceReading, check_output, write_dataset
from probseg.importing.case_table import CaseRow, read_cases, read_rated
from probseg.importing.masks import MaskFile, MaskReader, MaskSource, find_masks
from probseg.importing.rated import without
from probseg.importing.regions import named
from probseg.io.strict_yaml import read_yaml
from probseg.labels import LabelClass, LabelSet
from probseg.records import DatasetInfo, check_case_id

__all__ = ["Scan", "configure_import", "import_scans", "named_by_table"]

Content = tuple[NDArray | None, tuple[Path, ...], Geometry, Geometry | None]


@dataclass(frozen=True)
class Scan:
    """One scan of a source, not yet read.

    Attributes:
        case_id, patient_id, site, split: as in `probseg.records.CaseRecord`.
        series: short name of its DICOM series, for ``{series}`` in patterns; empty where there is none.
        names: under which a row of ``--cases`` may name it, the best first.
        read: gives image or None, files to copy, canonical geometry and geometry as stored, as `SourceCase` takes them.
        note: where it came from, without a word of its headers.
    """

    case_id: str
    patient_id: str
    site: str
    split: str
    series: str
    names: tuple[str, ...]
    read: Callable[[], Content]
    note: str = ""


def configure_import(parser: argparse.ArgumentParser) -> None:
    """Declare what every import of scans and masks takes."""
    parser.add_argument(
        "--masks",
        nargs="+",
        action="extend",
        default=[],
        metavar="[RATER[:CLASS]=]PATTERN",
        help="files of a rater, such as 'anna=masks/anna/{case}.nii.gz', 'anna:glass=masks/{case}_glass.nrrd' for "
        "a file a class, or 'masks/{rater}/{case}.seg.nrrd'; {case}, {patient}, {series} and {class} stand for names",
    )
    parser.add_argument("--out", type=Path, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", help="name of the dataset (default: that of the folder)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="YAML",
        help="classes, groups and unknown as in dataset.yaml, or just name: value "
        "(default: the classes that --masks names, else 0 background and 1 foreground)",
    )
    parser.add_argument(
        "--label",
        nargs="+",
        action="extend",
        default=[],
        metavar="GIVEN=NAME",
        help="a segment's name or a value in the files, and the label that it stands for, such as infection=opacity",
    )
    parser.add_argument(
        "--cases", type=Path, metavar="CSV", help="table of file, case_id, patient_id, site, split; only these scans"
    )
    parser.add_argument("--site", default="", help="site of every scan for which --cases says none")
    parser.add_argument(
        "--unread",
        nargs="+",
        action="extend",
        default=[],
        metavar="CASE/RATER=SLICES",
        help="slices that a rater did not look at, such as case-7/anna=0-5;9, counted from 0 at the feet; or all",
    )
    parser.add_argument("--rated", type=Path, metavar="CSV", help="table of case_id, rater, rated (all, none, 0-5;9)")
    parser.add_argument("--resample", action="store_true", help="put label maps of another grid on that of the image")
    parser.add_argument("--skip-unread", action="store_true", help="leave out scans of which there is no mask")
    parser.add_argument(
        "--changing-raters", action="store_true", help="a rater's name is not the same person in every case"
    )
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=(-1000.0, 400.0),
        metavar=("LOW", "HIGH"),
        help="intensities shown as black and white, HU for CT (default: -1000 400)",
    )


def named_by_table(scans: Sequence[Scan], path: Path | None) -> list[Scan]:
    """The scans that a table of ``--cases`` lists, in its order and under its names; all where there is no table.

    Warns W_NOT_LISTED of scans that it leaves out.

    Raises:
        ProbsegError: the codes of `read_cases`, E_FILE_MISSING where a row names no scan, E_SCHEMA where it may mean
            several.
    """
    if path is None:
        return list(scans)
    chosen: dict[int, Scan] = {}
    for row in read_cases(path):
        k = _meant(row, scans, path)
        if k in chosen:
            raise ProbsegError("E_DUPLICATE_CASE", f"'{row.file}' in '{path}' is a scan that another row names already")
        scan = scans[k]
        chosen[k] = replace(
            scan,
            case_id=row.case_id or scan.case_id,
            patient_id=row.patient_id or scan.patient_id,
            site=row.site or scan.site,
            split=row.split,
        )
    left = [s.names[0] for k, s in enumerate(scans) if k not in chosen]
    if left:
        warn("W_NOT_LISTED", f"'{path}' does not list {len(left)} of {len(scans)} scans, such as '{left[0]}'")
    return list(chosen.values())


def _meant(row: CaseRow, scans: Sequence[Scan], path: Path) -> int:
    wanted = {row.file, row.file.removeprefix("./"), row.file.rstrip("/")}
    for rank in range(max(len(s.names) for s in scans)):
        found = [k for k, s in enumerate(scans) if rank < len(s.names) and s.names[rank] in wanted]
        if len(found) > 1:
            raise ProbsegError("E_SCHEMA", f"'{row.file}' in '{path}' may be {len(found)} scans; give its whole path")
        if found:
            return found[0]
    raise ProbsegError("E_FILE_MISSING", f"'{row.file}' in '{path}' is no scan; the first is '{scans[0].names[0]}'")


def import_scans(
    args: argparse.Namespace, scans: Sequence[Scan], dimensions: int, follow: Callable[[Iterable, int], Iterable]
) -> Path:
    """Read scans and masks and write the dataset.

    Args:
        args: of `configure_import`.
        scans: at least one.
        dimensions: of every image.
        follow: shows progress over the cases.

    Raises:
        ProbsegError: E_USAGE, E_FILE_MISSING where a pattern means no file, E_NO_LABELS where a scan has no mask, and
            the codes of `write_dataset` and of every reader.
    """
    if args.out is None or not args.masks:
        raise ProbsegError("E_USAGE", "an import needs --masks and --out; see --help")
    check_output(args.out, args.overwrite)
    sources = [MaskSource.parse(text) for text in args.masks]
    scans = named_by_table(scans, args.cases)
    for scan in scans:
        check_case_id(scan.case_id)
    files = [find_masks(sources, {"case": s.case_id, "patient": s.patient_id, "series": s.series}) for s in scans]
    _check_found(args, sources, scans, files)
    labels = _labels(args.labels, [f for found in files for own in found.values() for f in own])
    reader = MaskReader(labels, named(args.label, "--label"), args.resample)
    rated = _Rated(args, {(s.case_id, r) for s, found in zip(scans, files, strict=True) for r in found})
    window = (float(args.window[0]), float(args.window[1]))
    info = DatasetInfo(args.name or args.out.name, dimensions, labels, window, not args.changing_raters)

    def cases() -> Iterator[SourceCase]:
        read = [(s, found) for s, found in zip(scans, files, strict=True) if found]
        for scan, found in follow(read, len(read)):
            yield _case(scan, found, reader, rated)

    return write_dataset(args.out, info, cases(), args.overwrite)


def _case(scan: Scan, found: Mapping[str, list[MaskFile]], reader: MaskReader, rated: _Rated) -> SourceCase:
    image, files, geometry, stored = scan.read()
    readings = []
    for rater, own in found.items():
        what = f"the mask of rater '{rater}' of case '{scan.case_id}'"
        mask, note = reader.read(own, geometry, what)
        readings.append(SourceReading(rater, mask, rated.of(scan.case_id, rater, geometry), note))
    return SourceCase(
        scan.case_id, scan.patient_id, scan.site, image, files, geometry, tuple(readings), stored, scan.split, scan.note
    )


def _check_found(
    args: argparse.Namespace,
    sources: Sequence[MaskSource],
    scans: Sequence[Scan],
    files: Sequence[Mapping[str, list[MaskFile]]],
) -> None:
    """Every pattern must mean something, every scan have a mask, and no file be left over without a word."""
    used = {f.path for found in files for own in found.values() for f in own}
    for text, source in zip(args.masks, sources, strict=True):
        all_of_it = patterns.every_file(source.pattern)
        if not all_of_it & used:
            example = f"; the first scan is the case '{scans[0].case_id}'" if all_of_it else ""
            raise ProbsegError("E_FILE_MISSING", f"--masks '{text}' means no file of any scan{example}")
        left = sorted(all_of_it - used)
        if left:
            warn("W_UNUSED_MASK", f"{len(left)} files of --masks '{text}' belong to no scan, such as '{left[0]}'")
    unread = [s.case_id for s, found in zip(scans, files, strict=True) if not found]
    if unread and not args.skip_unread:
        raise ProbsegError(
            "E_NO_LABELS",
            f"{len(unread)} of {len(scans)} scans have no mask, such as case '{unread[0]}'; correct --masks, or add "
            "--skip-unread to leave them out",
        )
    if unread:
        warn(
            "W_NO_LABELS", f"{len(unread)} of {len(scans)} scans have no mask and were left out, such as '{unread[0]}'"
        )


def _labels(path: Path | None, files: Sequence[MaskFile]) -> LabelSet:
    """The label set of a file, or the classes that the arguments name, or foreground."""
    if path is None:
        classes = [c for c in dict.fromkeys(f.class_name for f in files) if c is not None]
        if not classes:
            return LabelSet.binary("foreground")
        return LabelSet((LabelClass(0, "background"), *(LabelClass(k, c) for k, c in enumerate(classes, start=1))))
    data = read_yaml(path)
    if isinstance(data, dict) and isinstance(data.get("labels"), dict):
        data = data["labels"]
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must hold classes as in dataset.yaml, or lines of name: value")
    if "classes" in data:
        return LabelSet.from_dict(data)
    ordered = sorted(data.items(), key=lambda item: item[1] if isinstance(item[1], int) else -1)
    return LabelSet(tuple(LabelClass(value, name) for name, value in ordered))


class _Rated:
    """What ``--rated`` and ``--unread`` say of each rater of each case."""

    def __init__(self, args: argparse.Namespace, readings: set[tuple[str, str]]) -> None:
        self.read = {} if args.rated is None else read_rated(args.rated)
        self.unread: dict[tuple[str, str], str] = {}
        for name, slices in named(args.unread, "--unread").items():
            case, sign, rater = name.partition("/")
            if not sign:
                raise ProbsegError("E_USAGE", f"--unread takes CASE/RATER=SLICES, not '{name}={slices}'")
            self.unread[case, rater] = slices
        for option, said in (("--rated", self.read), ("--unread", self.unread)):
            strange = sorted(set(said) - readings)
            if strange:
                case, rater = strange[0]
                raise ProbsegError(
                    "E_UNKNOWN_RATER", f"{option} tells of rater '{rater}' of case '{case}', of whom there is no mask"
                )

    def of(self, case: str, rater: str, geometry: Geometry) -> str:
        """The column ``rated`` of one reading."""
        rated = self.read.get((case, rater)) or "all"
        unread = self.unread.get((case, rater))
        return rated if unread is None else without(rated, unread, geometry, f"rater '{rater}' of case '{case}'")
