"""What every kind of import of public opacity data takes."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_intensity_options", "add_mask_options", "add_options"]


def add_options(parser: argparse.ArgumentParser, name: str, window: str) -> None:
    """Where to write, how it is called, and which intensities are shown.

    Args:
        parser: of the kind.
        name: default of ``--name``.
        window: what the default of ``--window`` is, in words.
    """
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", default=name, help=f"name of the dataset (default: {name})")
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help=f"intensities shown as black and white (default: {window})",
    )


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """How files of masks are read."""
    parser.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        default=[],
        metavar="VALUE=NAME",
        help="what a value in the masks means, where it is another than the layout's, such as 4=consolidation",
    )
    parser.add_argument(
        "--index-grid",
        action="store_true",
        help="take masks voxel by voxel, where their header lies elsewhere than that of their image but only the "
        "header is wrong. Look at them before you use it",
    )


def add_intensity_options(parser: argparse.ArgumentParser) -> None:
    """What becomes of scans in Hounsfield units beside scans in grey values."""
    parser.add_argument(
        "--only", choices=("hu", "grey"), help="only scans in Hounsfield units, or in grey values 0..255"
    )
    parser.add_argument(
        "--grey-window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="the window in HU that grey values 0..255 were made with: puts them back on HU",
    )
