"""``probseg import nifti``: images and masks in files, one image a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.importing import patterns
from probseg.importing.scans import Content, Scan, configure_import, import_scans

DESCRIPTION = "images and masks as NIfTI, NRRD or pictures, with the masks of any number of raters"
EXAMPLE = (
    "probseg import nifti images --masks 'anna=masks/anna/{case}.nii.gz' 'ben=masks/ben/{case}.seg.nrrd' --out dataset"
)

_SUFFIXES = (".nii", ".nii.gz", ".nrrd")
_PLANES = (".png", ".tif", ".tiff", ".npz")
_SAID = ("case", "patient", "site")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="image files, folders of them, or patterns such as 'data/{site}/{patient}/{case}/ct.nii.gz'",
    )
    parser.add_argument(
        "--dimensions", type=int, choices=(2, 3), help="of the images (default: 2 for pictures, else 3)"
    )
    configure_import(parser)


def run(args: argparse.Namespace) -> int:
    """Import, then say what was written and what to do next."""
    from probseg.importing.summary import tell
    from probseg.progress import followed

    found = [entry for given in args.images for entry in _files(given)]
    if not found:
        raise ProbsegError("E_NO_CASES", f"there is no image in '{args.images[0]}'")
    flat = found[0][0].name.lower().endswith(_PLANES)
    dimensions = args.dimensions or (2 if flat else 3)
    names = _case_ids([path for path, _ in found])
    scans = [_scan(path, said, name, args.site, dimensions) for (path, said), name in zip(found, names, strict=True)]
    return tell(import_scans(args, scans, dimensions, followed))


def _files(given: str) -> list[tuple[Path, dict[str, str]]]:
    """Images of a file, of a folder and everything below it, or of a pattern, with what the pattern's names say."""
    if patterns.has_placeholder(given):
        patterns.placeholders(given, _SAID, "IMAGES")
        found = patterns.find(given, {})
        if not found:
            raise ProbsegError("E_FILE_MISSING", f"no file is called as '{given}' says")
        return found
    path = Path(given)
    if not path.is_dir() or path.name.lower().endswith(_SUFFIXES):
        return [(path, {})]
    inside = sorted(p for p in path.rglob("*") if _is_image(p) and p.is_file())
    return [(p, {}) for p in inside]


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*_SUFFIXES, *_PLANES)) and not name.endswith(".seg.nrrd") and not name.startswith(".")


def _stem(path: Path) -> str:
    """The name without its suffix, and without the channel number that nnU-Net adds."""
    name = path.name
    for suffix in (*_SUFFIXES[::-1], *_PLANES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix("_0000")


def _case_ids(paths: Sequence[Path]) -> list[str]:
    """The stem where it is unique; else that of the folder, or as many folders as tell all of them apart."""
    stems = [_stem(p) for p in paths]
    if len({s.casefold() for s in stems}) == len(stems):
        return stems
    folders = [p.resolve().parent.parts for p in paths]
    for depth in range(1, max(len(f) for f in folders)):
        names = ["_".join(f[-depth:]) for f in folders]
        if len({n.casefold() for n in names}) == len(names):
            return names
        names = ["_".join((*f[-depth:], s)) for f, s in zip(folders, stems, strict=True)]
        if len({n.casefold() for n in names}) == len(names):
            return names
    return stems


def _scan(path: Path, said: dict[str, str], name: str, site: str, dimensions: int) -> Scan:
    def read() -> Content:
        from probseg.io import read_image

        image, geometry, stored = read_image(path, dimensions)
        return image, (), geometry, stored

    case = said.get("case") or name
    names = (str(path), path.name, _stem(path), case)
    return Scan(case, said.get("patient") or case, said.get("site") or site, "", "", names, read)
