"""``probseg check``: is this image, dataset, checkpoint or config sound?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

DESCRIPTION = (
    "Read an image (DICOM folder or file, NIfTI, NRRD), a dataset, a checkpoint, a run folder or a config as every "
    "other command would, and say what is wrong with it or what it holds."
)
EXAMPLE = "probseg check dataset"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, metavar="PATH", help="what to check; lidc-sample is the bundled dataset")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--dimensions", type=int, choices=(2, 3), help="of an image (default: what its format says)")
    parser.add_argument("--series", metavar="NAME", help="which series of a DICOM folder, by its short name")


def run(args: argparse.Namespace) -> int:
    """Check, then print what was found; warnings wait until nothing is wrong, so that an error stands alone."""
    from probseg.checking import check
    from probseg.errors import held_warnings

    with held_warnings() as held:
        finding = check(args.path, args.dimensions, args.series)
    codes = [warning.code for warning in held]
    if args.json:
        print(json.dumps({**finding.facts, "warnings": codes}, allow_nan=False))
        return 0
    for line in finding.lines:
        print(line)
    count = f"{len(codes)} warning{'s' if len(codes) > 1 else ''}"
    print(f"sound, with {count}" if codes else "sound")
    if finding.next:
        print(f"next: {finding.next}")
    return 0
