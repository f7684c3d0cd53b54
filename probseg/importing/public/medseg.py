"""``probseg import medseg``: the COVID-19 CT segmentations of MedSeg, slices or volumes.

MedSeg (medicalsegmentation.com/covid19) released 100 axial slices of several patients in one file, ``tr_im.nii.gz``,
with ``tr_mask.nii.gz``, and nine volumes, ``rp_im/1.nii.gz`` with ``rp_msk/1.nii.gz`` and the lungs in ``rp_lung_msk``:
1 ground glass, 2 consolidation, 3 pleural effusion. The slices were pictures once, put back on HU by air and fat.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.importing.public.options import add_intensity_options, add_mask_options, add_options

if TYPE_CHECKING:
    from probseg.importing.build import SourceCase
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.slices import Stack
    from probseg.labels import LabelSet

DESCRIPTION = "MedSeg's COVID-19 CT: 100 single slices, or nine volumes, with opacities and effusion."
EXAMPLE = "probseg import medseg medseg --part slices --out medseg-slices"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_MEANING = {0: "background", 1: "ground_glass", 2: "consolidation", 3: "pleural_effusion"}
_NOTE = "MedSeg, COVID-19 CT segmentation dataset, medicalsegmentation.com/covid19."
_UNKNOWN = " Which slices are of one patient is not known: each counts as a patient, so splits may share one."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="FOLDER", help="with tr_im.nii.gz and tr_mask.nii.gz, or rp_im")
    parser.add_argument(
        "--part", choices=("slices", "volumes"), help="which of the two, where the folder holds both: tr_im or rp_im"
    )
    parser.add_argument(
        "--lungs", action="store_true", help="with volumes: healthy lung of rp_lung_msk is a class of its own, lung"
    )
    add_intensity_options(parser)
    add_mask_options(parser)
    add_options(parser, "MedSeg", "-1000 400 for HU, 0 255 for grey values")


def run(args: argparse.Namespace) -> int:
    """Import, then say what was found, what was written and what to do next."""
    from probseg.errors import ProbsegError
    from probseg.io.guard import is_folder

    if not is_folder(args.source):
        raise ProbsegError("E_USAGE", f"'{args.source}' is a file; give the folder with tr_im.nii.gz or rp_im")
    files = _stacks(args.source)
    parts = [name for name, found in (("slices", files), ("volumes", (args.source / "rp_im").is_dir())) if found]
    part = args.part or (parts[0] if len(parts) == 1 else None)
    if part is None and parts:
        raise ProbsegError("E_USAGE", f"'{args.source}' holds slices and volumes; choose with --part slices or volumes")
    if part not in parts:
        raise ProbsegError(
            "E_FILE_MISSING",
            f"'{args.source}' has no {'folder rp_im' if part == 'volumes' else 'tr_im.nii.gz and tr_mask.nii.gz'}; "
            "give the folder of the download",
        )
    if part == "slices":
        return _run_slices(args, *files)
    return _run_volumes(args)


def _stacks(folder: Path) -> tuple[Path, ...]:
    """The file of the slices and that of their masks; empty where they are not there."""
    found = [next((p for p in (folder / f"{n}.nii.gz", folder / f"{n}.nii") if p.is_file()), None) for n in _STACKS]
    return tuple(p for p in found if p) if all(found) else ()


_STACKS = ("tr_im", "tr_mask")


def _labels(lungs: bool) -> LabelSet:
    from probseg.importing.public.label_sets import opacity_labels
    from probseg.labels import LabelClass

    effusion = LabelClass(3, "pleural_effusion", "#e69f00")
    return opacity_labels(others=(effusion, LabelClass(4, "lung", "#999999")) if lungs else (effusion,))


def _run_slices(args: argparse.Namespace, image: Path, mask: Path) -> int:
    from probseg.errors import ProbsegError
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.public.intensities import GREY, WINDOWS, kind_of
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.slices import read_stack
    from probseg.importing.summary import tell
    from probseg.records import DatasetInfo

    if args.lungs or args.only or args.grey_window:
        given = "--lungs" if args.lungs else "--only" if args.only else "--grey-window"
        raise ProbsegError("E_USAGE", f"{given} is for volumes; leave it out, or add --part volumes")
    check_output(args.out, args.overwrite)
    labels = _labels(lungs=False)
    values = MaskValues(labels, _MEANING, args.classes, args.index_grid)
    stack = read_stack(image, args.index_grid)
    kind = kind_of(stack.images, f"'{image}'")
    low, high = args.window or WINDOWS[kind]
    info = DatasetInfo(args.name, 2, labels, (float(low), float(high)), False, _NOTE + _UNKNOWN)
    folder = write_dataset(args.out, info, _cases(stack, mask, values), args.overwrite)
    said = "grey values of 8 bits" if kind == GREY else "Hounsfield units"
    for line in (
        f"{len(stack.images)} slices in {said}",
        *values.lines(),
        "patients are not known: each slice counts as a patient of its own",
    ):
        print(line)
    return tell(folder)


def _cases(stack: Stack, mask: Path, values: MaskValues) -> Iterator[SourceCase]:
    from probseg.importing.build import SourceCase, SourceReading
    from probseg.progress import followed

    drawn = stack.in_order(values.read(mask, stack.geometry, stack.stored, "the mask of the slices"))
    for k, image in enumerate(followed(stack.images, len(stack.images))):
        name = f"slice-{k:03d}"
        yield SourceCase(name, name, "", image, (), stack.plane, (SourceReading("radiologist", drawn[k]),))


def _run_volumes(args: argparse.Namespace) -> int:
    from probseg.errors import ProbsegError
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.volumes import Volume, VolumeImport, niftis, warn_unused
    from probseg.io.guard import is_folder

    folders = {name: args.source / name for name in ("rp_im", "rp_msk", "rp_lung_msk")}
    wanted = folders if args.lungs else ("rp_im", "rp_msk")
    files = {name: niftis(folders[name]) if is_folder(folders[name]) else {} for name in wanted}
    images = files["rp_im"]
    if not images:
        raise ProbsegError("E_NO_CASES", f"'{folders['rp_im']}' holds no NIfTI; give the folder of the download")
    for name in wanted:
        lost = sorted(set(images) - set(files[name]))
        if lost:
            raise ProbsegError(
                "E_NO_LABELS",
                f"'{images[lost[0]]}' has no mask of its name in '{folders[name]}'; find it, or take it away",
            )
    warn_unused([p for stem, p in files["rp_msk"].items() if stem not in images], "masks belong to no volume")
    labels = _labels(args.lungs)
    values = MaskValues(labels, _MEANING, args.classes, args.index_grid)
    lungs = MaskValues(labels, {0: "background", 1: "lung", 2: "lung"}, (), args.index_grid) if args.lungs else None
    volumes = [
        Volume(
            f"volume-{stem}", f"volume-{stem}", "", path, files["rp_msk"][stem], files.get("rp_lung_msk", {}).get(stem)
        )
        for stem, path in images.items()
    ]
    return VolumeImport(args, labels, values, "radiologist", _NOTE, lungs).write(volumes)
