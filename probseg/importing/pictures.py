"""Single images that a labelling tool names by path: finding them, and what the command line says of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from probseg import io
from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.importing.build import SourceCase, SourceReading
from probseg.io.guard import is_folder

__all__ = ["Pictures", "add_arguments"]

_PICTURE_OF_COLOURS = (".jpg", ".jpeg", ".bmp", ".webp", ".gif")


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Arguments of every kind whose sources are single images and a JSON."""
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="where the images lie")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", default=name, help=f"name of the dataset (default: {name})")
    parser.add_argument(
        "--patient",
        metavar="REGEX",
        help="finds the patient in the name of an image, its first group if it has one, such as '^(P[0-9]+)_' "
        "(default: every image is a patient of its own)",
    )
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=(0.0, 255.0),
        metavar=("LOW", "HIGH"),
        help="intensities that become 0 and 1 (default: 0 255)",
    )


class Pictures:
    """The images below a folder, by the end of their path.

    Args:
        folder: searched with everything below it.
        patient: regular expression that finds the patient in the name of an image, or None.

    Raises:
        ProbsegError: E_FILE_MISSING, E_IS_DIRECTORY, E_USAGE for no regular expression.
    """

    def __init__(self, folder: Path, patient: str | None = None) -> None:
        if not is_folder(folder):
            raise ProbsegError("E_USAGE", f"--images '{folder}' is a file; give the folder of the images")
        self.folder = folder
        try:
            self._patient = None if patient is None else re.compile(patient)
        except re.error as error:
            raise ProbsegError("E_USAGE", f"--patient is no regular expression: {error}") from error
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self._by_name.setdefault(path.name, []).append(PurePosixPath(path.relative_to(folder).as_posix()))

    def find(self, named: str) -> PurePosixPath:
        """The image whose path below the folder ends like ``named``.

        Raises:
            ProbsegError: E_FILE_MISSING where there is none, E_DUPLICATE_CASE where several end alike.
        """
        wanted = PurePosixPath(named.replace("\\", "/"))
        found = self._by_name.get(wanted.name, [])
        if not found:
            raise ProbsegError("E_FILE_MISSING", f"there is no image '{wanted.name}' below '{self.folder}'")
        shared = [_shared(path, wanted) for path in found]
        best = [path for path, n in zip(found, shared, strict=True) if n == max(shared)]
        if len(best) > 1:
            raise ProbsegError(
                "E_DUPLICATE_CASE", f"'{self.folder}' holds '{wanted.name}' {len(best)} times; give a folder of one"
            )
        return best[0]

    def case(self, image: PurePosixPath, geometry: Geometry, readings: Iterable[SourceReading]) -> SourceCase:
        """The case of one image, whose file is copied as it is."""
        case_id = re.sub(r"[^\w.-]+", "-", str(image.with_suffix("")))[:100].strip("-.") or "image"
        return SourceCase(
            case_id, self._patient_of(image, case_id), "", None, (self.folder / image,), geometry, tuple(readings)
        )

    def geometry(self, image: PurePosixPath) -> Geometry:
        """Of one image, which is read for it.

        Raises:
            ProbsegError: E_WRONG_EXTENSION for JPEG and the like, and what reading the image raises.
        """
        if image.suffix.lower() in _PICTURE_OF_COLOURS:
            raise ProbsegError(
                "E_WRONG_EXTENSION",
                f"'{self.folder / image}' is no grey image without loss; convert it to .png or .tif of one channel",
            )
        return io.read_image(self.folder / image, 2)[1]

    def _patient_of(self, image: PurePosixPath, case_id: str) -> str:
        if self._patient is None:
            return case_id
        match = self._patient.search(image.name)
        if match is None or not (match.group(1) if match.groups() else match.group(0)):
            raise ProbsegError("E_USAGE", f"--patient finds no patient in '{image.name}'")
        return match.group(1) if match.groups() else match.group(0)


def _shared(path: PurePosixPath, wanted: PurePosixPath) -> int:
    """How many last parts of two paths agree."""
    count = 0
    for a, b in zip(reversed(path.parts), reversed(wanted.parts), strict=False):
        if a != b:
            break
        count += 1
    return count
