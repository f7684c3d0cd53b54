"""``probseg import longciu``: slices of CT after COVID-19 with the masks of three raters.

LongCIU (Carmo et al. 2025, doi:10.1038/s41597-025-04709-2; data doi:10.25820/data.007301) is one folder:
``longciu_img.nii.gz`` of 90 slices in HU, ``longciu_1_tgt.nii.gz`` to ``longciu_3_tgt.nii.gz`` of 1 ground glass and 2
consolidation, ``longciu_STAPLE_tgt.nii.gz`` made of these three, and ``longciu_splits.json``.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.importing.public.options import add_mask_options, add_options

if TYPE_CHECKING:
    from probseg.importing.build import SourceCase
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.slices import Stack

DESCRIPTION = "LongCIU: CT slices after COVID-19 with ground glass and consolidation by three raters."
EXAMPLE = "probseg import longciu longciu --out longciu-slices"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_RATER = re.compile(r"longciu_(\d+)_tgt")
_NOTE = (
    "LongCIU, Carmo et al. (2025), doi:10.1038/s41597-025-04709-2. Which slices are of one patient is not known: each "
    "counts as a patient, so intervals over patients are too narrow, and splits may share one."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="FOLDER", help="with longciu_img.nii.gz and longciu_1_tgt.nii.gz")
    parser.add_argument(
        "--no-splits", action="store_true", help="pass longciu_splits.json over (default: its splits are kept)"
    )
    add_mask_options(parser)
    add_options(parser, "LongCIU", "-1000 400")


def run(args: argparse.Namespace) -> int:
    """Import, then say what was found, what was written and what to do next."""
    from probseg.errors import ProbsegError
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.public.intensities import HU, WINDOWS, kind_of
    from probseg.importing.public.label_sets import opacity_labels
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.slices import read_stack
    from probseg.importing.public.volumes import niftis
    from probseg.importing.summary import tell
    from probseg.io.guard import is_folder
    from probseg.records import DatasetInfo

    check_output(args.out, args.overwrite)
    if not is_folder(args.source):
        raise ProbsegError("E_USAGE", f"'{args.source}' is a file; give the folder of LongCIU")
    files = niftis(args.source)
    raters = {f"rater-{m[1]}": path for stem, path in files.items() if (m := _RATER.fullmatch(stem))}
    for name, found in (("longciu_img.nii.gz", "longciu_img" in files), ("longciu_1_tgt.nii.gz", bool(raters))):
        if not found:
            raise ProbsegError("E_FILE_MISSING", f"'{args.source}' has no {name}; give the folder of LongCIU")
    labels = opacity_labels()
    meaning = {0: "background", 1: "ground_glass", 2: "consolidation"}
    values = MaskValues(labels, meaning, args.classes, args.index_grid)
    stack = read_stack(files["longciu_img"], args.index_grid)
    if kind_of(stack.images, f"'{files['longciu_img']}'") != HU:
        raise ProbsegError("E_NOT_HU", f"'{files['longciu_img']}' holds grey values, but LongCIU is in HU; look at it")
    lines, splits = _splits(args, len(stack.images))
    low, high = args.window or WINDOWS[HU]
    info = DatasetInfo(args.name, 2, labels, (float(low), float(high)), note=_NOTE)
    folder = write_dataset(args.out, info, _cases(stack, raters, values, splits), args.overwrite)
    staple = _staple(files, stack, MaskValues(labels, meaning, args.classes, args.index_grid))
    for line in (*lines, *values.lines(), *staple, "patients are not known: each slice counts as a patient of its own"):
        print(line)
    return tell(folder)


def _splits(args: argparse.Namespace, count: int) -> tuple[list[str], list[str]]:
    """What is said of the splits, and the split of each slice."""
    from probseg.importing.public.slice_splits import read_slice_splits
    from probseg.records import SPLITS

    path = args.source / "longciu_splits.json"
    if args.no_splits or not path.is_file():
        return ["no splits: make them with probseg split"], [""] * count
    splits = read_slice_splits(path, count)
    found = Counter(splits)
    said = ", ".join(f"{found[name]} {name or 'in no split'}" for name in (*SPLITS, "") if found[name])
    return [f"splits of {path.name}: {said}"], splits


def _cases(stack: Stack, raters: Mapping[str, Path], values: MaskValues, splits: list[str]) -> Iterator[SourceCase]:
    from probseg.importing.build import SourceCase, SourceReading
    from probseg.progress import followed

    masks = {
        rater: stack.in_order(values.read(path, stack.geometry, stack.stored, f"the mask of {rater}"))
        for rater, path in sorted(raters.items())
    }
    for k, image in enumerate(followed(stack.images, len(stack.images))):
        name = f"slice-{k:03d}"
        readings = tuple(SourceReading(rater, mask[k]) for rater, mask in masks.items())
        yield SourceCase(name, name, "", image, (), stack.plane, readings, split=splits[k])


def _staple(files: Mapping[str, Path], stack: Stack, values: MaskValues) -> list[str]:
    """What is said of the consensus, which is no rater: it is made of all three, whom it would count twice."""
    path = files.get("longciu_STAPLE_tgt")
    if path is None:
        return []
    mask = values.read(path, stack.geometry, stack.stored, "the consensus")
    drawn = ", ".join(f"{int((mask == value).sum())} pixels of {value}" for value in (1, 2))
    return [f"{path.name} fits the slices ({drawn}) and is no rater: it stays where it is"]
