"""``probseg import mosmed``: CT of COVID-19 from Moscow, fifty of them with a mask of opacity.

MosMedData (Morozov et al. 2020, arXiv:2005.06465) has ``studies/CT-0/study_0001.nii.gz`` to ``studies/CT-4``, by
severity, and ``masks/study_0255_mask.nii.gz`` of 0 and 1 for fifty of them. The mask says opacity: ground glass or
consolidation.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from probseg.importing.public.options import add_intensity_options, add_mask_options, add_options

DESCRIPTION = "MosMedData: the CT that have a mask of opacity, with their severity."
EXAMPLE = "probseg import mosmed COVID19_1110 --out mosmed"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_STUDY = re.compile(r"study_(\d+)(_mask)?")
_SEVERITY = re.compile(r"CT-[0-4]")
_NOTE = "MosMedData, Morozov et al. (2020), arXiv:2005.06465. Opacity is ground glass or consolidation."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="FOLDER", help="with studies/CT-1/study_0255.nii.gz and masks")
    add_intensity_options(parser)
    add_mask_options(parser)
    add_options(parser, "MosMedData", "-1000 400 for HU, 0 255 for grey values")


def run(args: argparse.Namespace) -> int:
    """Import, then say what was found, what was written and what to do next."""
    from probseg.errors import ProbsegError
    from probseg.importing.public.label_sets import opacity_labels
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.volumes import Volume, VolumeImport, nifti_stem, warn_unused
    from probseg.io.guard import is_folder

    if not is_folder(args.source):
        raise ProbsegError("E_USAGE", f"'{args.source}' is a file; give the folder of MosMedData")
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for path in sorted(p for p in args.source.rglob("*.nii*") if p.is_file()):
        match = _STUDY.fullmatch(nifti_stem(path))
        if match is None:
            continue
        name, kind = f"study_{match[1]}", masks if match[2] else images
        if name in kind:
            raise ProbsegError("E_DUPLICATE_CASE", f"'{kind[name]}' and '{path}' are one study; take one of them away")
        kind[name] = path
    drawn = sorted(set(images) & set(masks))
    if not drawn:
        raise ProbsegError(
            "E_NO_CASES", f"'{args.source}' holds no study_0255.nii.gz with a mask study_0255_mask.nii.gz; unpack both"
        )
    warn_unused([masks[name] for name in sorted(set(masks) - set(images))], "masks belong to no study")
    labels = opacity_labels((11, 12), 1)
    values = MaskValues(labels, {0: "background", 1: "opacity"}, args.classes, args.index_grid)
    volumes = [
        Volume(name, name, "", images[name], masks[name], note=_severity(images[name], args.source)) for name in drawn
    ]
    status = VolumeImport(args, labels, values, "reference", _NOTE).write(volumes)
    left = len(set(images) - set(masks))
    if left:
        print(f"{left} studies have no mask and were left out")
    return status


def _severity(path: Path, source: Path) -> str:
    """``severity CT-1`` by the folder of a study; empty where no folder says it."""
    found = [p.name for p in path.relative_to(source).parents if _SEVERITY.fullmatch(p.name)]
    return f"severity {found[0]}" if found else ""
