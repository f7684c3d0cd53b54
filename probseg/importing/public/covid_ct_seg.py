"""``probseg import covid-ct-seg``: twenty CT of COVID-19 with lungs and infection.

COVID-19-CT-Seg (Ma et al. 2021, doi:10.1002/mp.14676; data doi:10.5281/zenodo.3757476) has ten
``coronacases_001.nii.gz`` in HU, ten ``radiopaedia_4_85506_1.nii.gz`` in grey values, to which -1250..250 HU was put on
0..255, and in ``Lung_and_Infection_Mask`` a mask of each: 1 left lung, 2 right lung, 3 infection. Infection is ground
glass or consolidation.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.importing.public.options import add_intensity_options, add_mask_options, add_options

if TYPE_CHECKING:
    from probseg.importing.public.volumes import Volume

DESCRIPTION = "COVID-19-CT-Seg: twenty CT with both lungs and infection, from two sources."
EXAMPLE = "probseg import covid-ct-seg COVID-19-CT-Seg --grey-window -1250 250 --out covid-ct-seg"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_NAME = re.compile(r"(?P<source>coronacases|radiopaedia)(?:_org)?_(?P<patient>\d+)(?P<rest>[_\d]*)")
_MASKS = "lung_and_infection_mask"
_OTHER_MASKS = ("infection_mask", "lung_mask")
_NOTE = "COVID-19-CT-Seg, Ma et al. (2021), doi:10.5281/zenodo.3757476. Infection is ground glass or consolidation."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", type=Path, metavar="FOLDER", help="with the scans anywhere below it and Lung_and_Infection_Mask"
    )
    parser.add_argument(
        "--no-lungs", action="store_true", help="lungs without infection are background (default: two classes)"
    )
    add_intensity_options(parser)
    add_mask_options(parser)
    add_options(parser, "COVID-19-CT-Seg", "-1000 400 for HU, 0 255 for grey values")


def run(args: argparse.Namespace) -> int:
    """Import, then say what was found, what was written and what to do next."""
    from probseg.importing.public.label_sets import opacity_labels
    from probseg.importing.public.mask_values import MaskValues
    from probseg.importing.public.volumes import VolumeImport
    from probseg.labels import LabelClass

    lungs = ("background", "background") if args.no_lungs else ("left_lung", "right_lung")
    others = () if args.no_lungs else (LabelClass(1, "left_lung", "#bbbbbb"), LabelClass(2, "right_lung", "#777777"))
    labels = opacity_labels((11, 12), 3, others)
    meaning = {0: "background", 1: lungs[0], 2: lungs[1], 3: "opacity"}
    values = MaskValues(labels, meaning, args.classes, args.index_grid)
    return VolumeImport(args, labels, values, "reference", _NOTE).write(_volumes(args.source))


def _volumes(source: Path) -> list[Volume]:
    """Scans and their masks by name; the source of a scan is its site."""
    from probseg.errors import ProbsegError
    from probseg.importing.public.volumes import Volume, nifti_stem, warn_unused
    from probseg.io.guard import is_folder

    if not is_folder(source):
        raise ProbsegError("E_USAGE", f"'{source}' is a file; give the folder of COVID-19-CT-Seg")
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for path in sorted(p for p in source.rglob("*.nii*") if p.is_file() and nifti_stem(p)):
        match = _NAME.fullmatch(nifti_stem(path))
        above = {parent.name.lower() for parent in path.relative_to(source).parents}
        if match is None or path.name.startswith(".") or above & set(_OTHER_MASKS):
            continue
        name = f"{match['source']}_{match['patient']}{match['rest']}"
        kind = masks if _MASKS in above else images
        if name in kind:
            raise ProbsegError("E_DUPLICATE_CASE", f"'{kind[name]}' and '{path}' are one scan; take one of them away")
        kind[name] = path
    if not images:
        raise ProbsegError(
            "E_NO_CASES", f"no file below '{source}' is called coronacases_*.nii.gz or radiopaedia_*.nii.gz"
        )
    lost = sorted(set(images) - set(masks))
    if lost:
        raise ProbsegError(
            "E_NO_LABELS",
            f"'{images[lost[0]]}' has no mask in a folder Lung_and_Infection_Mask; unpack all of the download",
        )
    warn_unused([masks[name] for name in sorted(set(masks) - set(images))], "masks belong to no scan")
    return [
        Volume(name, _patient(name), name.partition("_")[0], path, masks[name]) for name, path in sorted(images.items())
    ]


def _patient(name: str) -> str:
    """Source and first number: ``radiopaedia_10_85902_1`` and ``radiopaedia_10_85902_3`` are of one patient."""
    match = _NAME.fullmatch(name)
    assert match is not None  # only such names come here
    return f"{match['source']}_{match['patient']}"
