"""``probseg import KIND``: sources of several kinds become a dataset folder."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from probseg.errors import ProbsegError, held_warnings
from probseg.importing import coco, dicom, label_studio, lidc, mdai, nifti
from probseg.importing.challenges import curvas, qubiq
from probseg.importing.public import covid_ct_seg, longciu, medseg, mosmed, opacity_study

DESCRIPTION = "Turn images and the masks of their raters, in whatever files, into a dataset that every command reads."
EXAMPLE = "probseg import synthetic --out synthetic-ct --cases 24 --seed 0"
_EXAMPLE_NPZ = "probseg import npz stack.npz --out stack"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the kinds; each is a subparser with a function of its own."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, example, configure_kind, text in (
        ("synthetic", EXAMPLE, _configure_synthetic, "make chest CT with known truth and known raters"),
        ("npz", _EXAMPLE_NPZ, _configure_npz, "an NPZ stack of 2-D images with several masks each"),
    ):
        configure_kind(kinds.add_parser(name, help=text, description=text, epilog=f"example: {example}"))
    for name, kind in (
        ("dicom", dicom),
        ("nifti", nifti),
        ("lidc", lidc),
        ("mdai", mdai),
        ("coco", coco),
        ("label-studio", label_studio),
        ("longciu", longciu),
        ("medseg", medseg),
        ("covid-ct-seg", covid_ct_seg),
        ("mosmed", mosmed),
        ("opacity-study", opacity_study),
        ("curvas", curvas),
        ("qubiq", qubiq),
    ):
        text = kind.DESCRIPTION
        own = kinds.add_parser(name, help=text, description=text, epilog=f"example: {kind.EXAMPLE}")
        kind.configure(own)
        own.set_defaults(run_kind=kind.run)


def run(args: argparse.Namespace) -> int:
    """Import, then say what was written and what to do next."""
    if "run_kind" in args:
        with held_warnings():
            return int(args.run_kind(args))
    folder: Path = args.importer(args)
    print(f"next: probseg agreement {folder} --out {folder.name}-agreement")
    return 0


def _out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")


def _configure_synthetic(parser: argparse.ArgumentParser) -> None:
    _out(parser)
    parser.add_argument("--cases", type=int, default=24, help="number of patients (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is random (default: 0)")
    parser.add_argument("--sites", type=int, default=2, help="sites, each with its own scanner, at most 5 (default: 2)")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=(24, 128, 128),
        metavar=("SLICES", "ROWS", "COLUMNS"),
        help="voxels of a scan (default: 24 128 128)",
    )
    parser.add_argument("--raters", type=int, default=4, help="number of raters (default: 4)")
    parser.set_defaults(importer=_import_synthetic)


def _import_synthetic(args: argparse.Namespace) -> Path:
    from probseg.data.synthetic import SITES, SyntheticCase, default_raters, generate, write

    if not 1 <= args.sites <= len(SITES):
        raise ProbsegError("E_USAGE", f"--sites must lie between 1 and {len(SITES)}, but is {args.sites}")
    cases = generate(args.cases, args.seed, SITES[: args.sites], default_raters(args.raters), tuple(args.shape))

    def followed() -> Iterator[SyntheticCase]:
        from rich.console import Console
        from rich.progress import track

        quiet = not sys.stderr.isatty()
        yield from track(cases, "cases", args.cases, console=Console(stderr=True), disable=quiet, transient=True)

    folder = write(followed(), args.out, args.seed, overwrite=args.overwrite)
    print(f"{folder}: {args.cases} cases of {args.raters} raters at {args.sites} sites, seed {args.seed}")
    return folder


def _configure_npz(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FILE", help="NPZ with the arrays image and masks")
    _out(parser)
    parser.set_defaults(importer=_import_npz)


def _import_npz(args: argparse.Namespace) -> Path:
    from probseg.data.synthetic.write import empty_folder
    from probseg.io.atomic import replacing, write_text
    from probseg.manifest import open_dataset

    source: Path = args.source
    if not source.is_file():
        raise ProbsegError("E_FILE_MISSING", f"there is no NPZ file '{source}'")
    if source.resolve().parent == args.out.resolve():
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{source}' lies in '{args.out}' already; give another --out")
    dataset = open_dataset(source)
    dataset.load(dataset.records[0])  # a stack whose masks do not fit must not become a dataset
    folder = empty_folder(args.out, ("dataset.yaml", source.name), args.overwrite)
    with replacing(folder / source.name) as temporary:
        shutil.copyfile(source, temporary)
    described = {**dataset.info.to_dict(), "stack": source.name}
    write_text(folder / "dataset.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    print(f"{folder}: {len(dataset)} images of {len(dataset.raters)} mask slots")
    return folder
