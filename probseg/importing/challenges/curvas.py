"""``probseg import curvas``: abdominal CT of CURVAS with the masks of three raters.

CURVAS (Riera-Marin et al. 2024, doi:10.5281/zenodo.11147560; arXiv:2505.08685) is released as ``training_set``,
``validation_set`` and ``testing_set``, in each a folder a patient with ``image.nii.gz`` and ``annotation_1.nii.gz`` to
``annotation_3.nii.gz`` of 1 pancreas, 2 kidney and 3 liver.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from probseg.case import Geometry
    from probseg.importing.build import SourceCase, SourceReading
    from probseg.importing.challenges.folders import CaseFolder
    from probseg.importing.found_values import FoundValues
    from probseg.labels import LabelSet

DESCRIPTION = "CURVAS: abdominal CT with pancreas, kidneys and liver by three raters, a folder a patient."
EXAMPLE = "probseg import curvas training_set validation_set --out curvas"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_MASK = re.compile(r"annotation_(\d+)\.nii(\.gz)?")
_NOTE = "CURVAS, Riera-Marin et al. (2024), doi:10.5281/zenodo.11147560"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="training_set, validation_set and testing_set, or any folder with them in it; these names are the splits",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", default="CURVAS", help="name of the dataset (default: CURVAS)")
    parser.add_argument(
        "--index-grid",
        nargs="+",
        default=[],
        metavar="CASE/NUMBER",
        help="masks whose header lies elsewhere than their image, but whose voxels are those of the image in order; of "
        "the release UKCHLL007/2 is known to be one. Look at it before you use it",
    )
    parser.add_argument("--resample", action="store_true", help="put masks of another grid on that of the image")
    parser.add_argument(
        "--changing-raters", action="store_true", help="annotation_1 is not the same person in every case"
    )
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=(-160.0, 240.0),
        metavar=("LOW", "HIGH"),
        help="HU shown as black and white (default: -160 240)",
    )


def run(args: argparse.Namespace) -> int:
    """Import, then say which values the masks hold, and what was written."""
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.challenges.folders import drawn_cases, find_cases, tell_unused
    from probseg.importing.found_values import FoundValues
    from probseg.importing.summary import tell
    from probseg.progress import followed
    from probseg.records import DatasetInfo

    check_output(args.out, args.overwrite)
    drawn = drawn_cases(find_cases(args.sources), _numbered, "annotation_1.nii.gz")
    tell_unused(drawn, _MASK, "annotation_1.nii.gz")
    _check_named(args.index_grid, drawn)
    labels = _labels()
    found = FoundValues({c.value: c.name for c in labels.classes})
    reader = _Reader(labels, found, frozenset(args.index_grid), args.resample)
    window = (float(args.window[0]), float(args.window[1]))
    info = DatasetInfo(args.name, 3, labels, window, not args.changing_raters, _NOTE)
    folder = write_dataset(args.out, info, map(reader.case, followed(drawn, len(drawn))), args.overwrite)
    for line in found.lines():
        print(line)
    return tell(folder)


def _labels() -> LabelSet:
    from probseg.labels import LabelClass, LabelSet

    return LabelSet(
        (
            LabelClass(0, "background"),
            LabelClass(1, "pancreas", "#e69f00", "SCT:15776009:Pancreas"),
            LabelClass(2, "kidney", "#56b4e9", "SCT:64033007:Kidney"),
            LabelClass(3, "liver", "#009e73", "SCT:10200004:Liver"),
        )
    )


def _numbered(case: CaseFolder) -> dict[int, Path]:
    """The masks of a case by the number of their rater."""
    found = ((_MASK.fullmatch(p.name), p) for p in case.others)
    return dict(sorted((int(match[1]), p) for match, p in found if match))


def _check_named(given: list[str], cases: list[CaseFolder]) -> None:
    """E_UNKNOWN_RATER where ``--index-grid`` names a mask that there is not."""
    from probseg.errors import ProbsegError

    known = {f"{case.name}/{number}" for case in cases for number in _numbered(case)}
    strange = sorted(set(given) - known)
    if strange:
        raise ProbsegError(
            "E_UNKNOWN_RATER",
            f"--index-grid names '{strange[0]}', of which there is no mask; the first is {min(known)}",
        )


@dataclass(frozen=True)
class _Reader:
    labels: LabelSet
    found: FoundValues
    index_grid: frozenset[str]
    resample: bool

    def case(self, case: CaseFolder) -> SourceCase:
        """One case; its image is copied as it is."""
        from probseg.importing.build import SourceCase
        from probseg.io import read_image

        _, geometry, stored = read_image(case.image)
        readings = tuple(self._readings(case, geometry, stored))
        return SourceCase(case.name, case.name, "", None, (case.image,), geometry, readings, split=case.part)

    def _readings(self, case: CaseFolder, geometry: Geometry, stored: Geometry) -> Iterator[SourceReading]:
        from probseg.importing.build import SourceReading

        for number, path in _numbered(case).items():
            what = f"annotation_{number} of case '{case.name}'"
            mask, note = self._mask(path, f"{case.name}/{number}", geometry, stored, what)
            yield SourceReading(f"rater-{number}", self.found.whole(mask, what), note=note)

    def _mask(self, path: Path, named: str, geometry: Geometry, stored: Geometry, what: str) -> tuple[NDArray, str]:
        from probseg.case import to_canonical
        from probseg.errors import ProbsegError
        from probseg.importing.masks import MaskFile, MaskReader
        from probseg.io import nifti

        if named not in self.index_grid:
            try:
                return MaskReader(self.labels, {}, self.resample).read([MaskFile(path, "", None)], geometry, what)
            except ProbsegError as error:
                if error.code != "E_AFFINE_MISMATCH":
                    raise
                rest = f"or --index-grid {named} where only its header is wrong"
                raise ProbsegError(error.code, f"{error.message}, {rest}") from error
        mask = nifti.read_voxels(path)
        if mask.shape != stored.shape:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"{what} has the voxels {mask.shape}, its image {stored.shape}; --index-grid needs equal shapes",
            )
        return to_canonical(mask, stored)[0], "taken voxel by voxel, for its header lies elsewhere than its image"
