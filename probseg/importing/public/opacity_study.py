"""``probseg import opacity-study``: the opacity study's third phase, one HDF5 file a study.

A file (COVID19-L3-Net-Phase3, Apache-2.0) has a group a series with ``CT`` ``(slices, 512, 512)`` in HU, ``Parenchyma``
``(slices, 3, 512, 512)`` of lung, ground glass and consolidation as 1 drawn, 0 ruled out and -1 not said,
``Vesselness``, ``SOPInstanceUIDs`` and ``DataUse``, Train or Test. Slices lie 10 mm apart and have no millimetres.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.importing.public.options import add_options

if TYPE_CHECKING:
    from probseg.importing.build import SourceCase
    from probseg.importing.public.study_file import SeriesGroup

DESCRIPTION = "The opacity study's third phase: HDF5 files with labels that say a part, one image a slice."
EXAMPLE = "probseg import opacity-study phase3 --out opacity-phase3"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_NOTE = "Labels by the rules of COVID19-L3-Net-Phase3: below -775 HU normal lung, ground glass only up to -375 HU."
_KEPT = " A voxel of the lung that they leave open may be whatever its reader did not rule out."
_PARTS = ("lung", "ground glass", "consolidation")
_SAID = {1: "drawn (1)", 0: "ruled out (0)", -1: "not said (-1)"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sources", nargs="+", type=Path, metavar="PATH", help="HDF5 files, or folders of them")
    parser.add_argument(
        "--vesselness",
        type=float,
        metavar="THRESHOLD",
        help="voxels of the lungs above it are vessels, 0 to 1 (default: those at or above -375 HU)",
    )
    parser.add_argument(
        "--no-negatives",
        action="store_true",
        help="what the rules leave open is unknown, as in the study (default: what was ruled out is kept)",
    )
    parser.add_argument(
        "--validation",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the studies of Train, chosen by the hash of their names, to validate with (default: 0.2, the study's)",
    )
    add_options(parser, "opacity-phase3", "-1000 350, the study's")


def run(args: argparse.Namespace) -> int:
    """Import, then say what was found, what was written and what to do next."""
    from probseg.errors import ProbsegError
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.public.parenchyma import LABELS
    from probseg.importing.public.study_file import find_studies
    from probseg.importing.summary import tell
    from probseg.records import DatasetInfo

    if args.vesselness is not None and not 0 <= args.vesselness <= 1:
        raise ProbsegError("E_USAGE", f"--vesselness must lie between 0 and 1, but is {args.vesselness:g}")
    if not 0 <= args.validation < 1:
        raise ProbsegError("E_USAGE", f"--validation must be a share from 0 to less than 1, but is {args.validation:g}")
    check_output(args.out, args.overwrite)
    studies = find_studies(args.sources)
    held = _held(studies, args.validation)
    low, high = args.window or (-1000.0, 350.0)
    note = _NOTE if args.no_negatives else _NOTE + _KEPT
    info = DatasetInfo(args.name, 2, LABELS, (float(low), float(high)), False, note)
    counts: Counter[str] = Counter()
    folder = write_dataset(args.out, info, _cases(args, studies, held, counts), args.overwrite)
    print(f"{len(studies)} files, {counts['series']} series; {len(held)} of the files to train with validate")
    for part in _PARTS:
        said = ", ".join(f"{counts[f'{part} {value}']} voxels {word}" for value, word in _SAID.items())
        print(f"Parenchyma, {part}: {said}")
    print("labels: " + ", ".join(f"{counts[name]} voxels {name}" for name in LABELS.label_names if counts[name]))
    if counts["empty"]:
        print(f"{counts['empty']} slices say nothing of any voxel and were left out")
    print("patients are not known: each study counts as a patient of its own, by a short name for its UID")
    return tell(folder)


def _held(studies: list[Path], share: float) -> frozenset[Path]:
    """The studies of Train that validate, at least one of several; by hash, so that more studies move few."""
    from probseg.importing.public.study_file import read_study
    from probseg.io.dicom.order import short_uid

    training = [p for p in studies if {series.split for series in read_study(p)} == {"train"}]
    training.sort(key=lambda p: (short_uid(p.stem), p.stem))
    return frozenset(training[: max(1, round(share * len(training)))] if share and len(training) > 1 else ())


def _cases(
    args: argparse.Namespace, studies: list[Path], held: frozenset[Path], counts: Counter[str]
) -> Iterator[SourceCase]:
    from dataclasses import replace

    from probseg.importing.public.study_file import read_study
    from probseg.io.dicom.order import short_uid
    from probseg.progress import followed

    for path in followed(studies, len(studies), "studies"):
        patient = short_uid(path.stem)
        for series in read_study(path, args.vesselness is not None):
            counts["series"] += 1
            if path in held:
                series = replace(series, split="validation")
            yield from _slices(args, series, f"{patient}-{short_uid(series.name)}", patient, counts)


def _slices(
    args: argparse.Namespace, series: SeriesGroup, name: str, patient: str, counts: Counter[str]
) -> Iterator[SourceCase]:
    import numpy as np

    from probseg.case import Geometry
    from probseg.importing.build import SourceCase, SourceReading
    from probseg.importing.public.parenchyma import LABELS, phase3_labels

    for k in range(series.count):
        hu, parenchyma, vesselness = series.slice(k)
        if (parenchyma == -1).all():
            counts["empty"] += 1
            continue
        vessels = None if vesselness is None else vesselness > args.vesselness
        values = phase3_labels(hu, parenchyma, vessels, not args.no_negatives)
        labels, found = np.unique(LABELS.encode(values), return_counts=True)
        counts.update({LABELS.label_names[label]: int(n) for label, n in zip(labels, found, strict=True)})
        for part, drawn in zip(_PARTS, parenchyma, strict=True):
            counts.update({f"{part} {value}": int((drawn == value).sum()) for value in _SAID})
        reading = SourceReading("reader", values)
        yield SourceCase(
            f"{name}-{k:03d}", patient, "", hu, (), Geometry(hu.shape, None), (reading,), split=series.split
        )
