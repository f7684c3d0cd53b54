"""Volumes in NIfTI with one mask each: what the kinds of import that have them share."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg import io
from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.importing.build import SourceCase, SourceReading, check_output, write_dataset
from probseg.importing.public.intensities import GREY, HU, WINDOWS, kind_of, to_hu
from probseg.importing.public.mask_values import MaskValues
from probseg.importing.summary import tell
from probseg.labels import LabelSet
from probseg.progress import followed
from probseg.records import DatasetInfo

__all__ = ["Volume", "VolumeImport", "nifti_stem", "niftis", "warn_unused"]

_SAID = {HU: "Hounsfield units", GREY: "grey values of 8 bits"}


@dataclass(frozen=True)
class Volume:
    """One scan and its mask, not yet read.

    Attributes:
        case_id, patient_id, site: as in `probseg.case.Case`.
        image: its file.
        mask: the file of its mask.
        lungs: file of a mask of its lungs, where healthy lung is a class of its own.
        note: what else is known of it.
    """

    case_id: str
    patient_id: str
    site: str
    image: Path
    mask: Path
    lungs: Path | None = None
    note: str = ""


class VolumeImport:
    """Writes volumes as a dataset of one kind of intensities, and tells what was found.

    Args:
        args: with all options of `probseg.importing.public.options`.
        labels: of the dataset.
        values: what the values of masks mean.
        rater: who the masks are by.
        note: attribution.
        lungs: what the values of the masks of lungs mean.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        labels: LabelSet,
        values: MaskValues,
        rater: str,
        note: str,
        lungs: MaskValues | None = None,
    ) -> None:
        self.args, self.labels, self.values, self.lungs = args, labels, values, lungs
        self.rater, self.note, self.only = rater, note, args.only
        self.grey_window: tuple[float, float] | None = None
        if args.grey_window is not None:
            low, high = args.grey_window
            if not low < high:
                raise ProbsegError("E_USAGE", f"--grey-window must be two rising numbers, not {low:g} and {high:g}")
            self.grey_window = (low, high)
        if self.only and self.grey_window:
            raise ProbsegError("E_USAGE", "--grey-window puts all on HU, so --only has no use beside it; give one")
        self.kinds: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def write(self, volumes: Sequence[Volume]) -> int:
        """Write the dataset; 0, the exit status.

        Raises:
            ProbsegError: E_OUTPUT_EXISTS, E_NOT_HU where kinds of intensities are mixed, and what reading raises.
        """
        check_output(self.args.out, self.args.overwrite)
        kind = HU if self.grey_window else self.only or kind_of(io.read_image(volumes[0].image)[0], _named(volumes[0]))
        low, high = self.args.window or WINDOWS[kind]
        # one mask a scan by people who are not named: nobody can be learnt
        info = DatasetInfo(self.args.name, 3, self.labels, (float(low), float(high)), False, self.note)
        folder = write_dataset(self.args.out, info, self._cases(volumes, kind), self.args.overwrite)
        for line in (*self._intensities(kind), *self.values.lines(), *(self.lungs.lines() if self.lungs else ())):
            print(line)
        return tell(folder)

    def _intensities(self, kind: str) -> Iterator[str]:
        for found in (HU, GREY):
            if not self.kinds[found] and not (found == GREY and self.grey_window):
                continue
            turned = found == GREY and kind == HU
            low, high = self.grey_window or (0, 0)
            yield f"{self.kinds[found]} images in {_SAID[found]}" + (f", put back on {low:g} to {high:g} HU" * turned)
        for found, count in self.left_out.items():
            yield f"{count} images in {_SAID[found]} left out, as --only says"

    def _cases(self, volumes: Sequence[Volume], kind: str) -> Iterator[SourceCase]:
        for volume in followed(volumes, len(volumes)):
            image, geometry, stored = io.read_image(volume.image)
            found = kind_of(image, _named(volume))
            if found != kind and self.only:
                self.left_out[found] += 1
                continue
            if found != kind and not (found == GREY and self.grey_window):
                raise ProbsegError(
                    "E_NOT_HU",
                    f"{_named(volume)} is in {_SAID[found]}, but others are in {_SAID[kind]}; choose with --only {HU} "
                    f"or --only {GREY}, or put grey values back on their window with --grey-window LOW HIGH",
                )
            self.kinds[found] += 1
            yield self._case(volume, image, geometry, stored, found != kind)

    def _case(self, volume: Volume, image: NDArray, geometry: Geometry, stored: Geometry, grey: bool) -> SourceCase:
        what = f"the mask of case '{volume.case_id}'"
        mask = self.values.read(volume.mask, geometry, stored, what)
        if volume.lungs is not None and self.lungs is not None:
            lungs = self.lungs.read(volume.lungs, geometry, stored, f"the lungs of case '{volume.case_id}'")
            mask = np.where(mask == 0, lungs, mask)
        note, window = volume.note, self.grey_window
        converted = to_hu(image, window) if grey and window else None
        if window and converted is not None:
            note = "; ".join(n for n in (note, f"grey values put back on {window[0]:g} to {window[1]:g} HU") if n)
        files = () if converted is not None else (volume.image,)
        reading = (SourceReading(self.rater, mask),)
        return SourceCase(
            volume.case_id, volume.patient_id, volume.site, converted, files, geometry, reading, stored, note=note
        )


def _named(volume: Volume) -> str:
    return f"'{volume.image}'"


def niftis(folder: Path) -> dict[str, Path]:
    """The NIfTI files of one folder by their names without suffix, sorted; hidden ones are left out.

    Raises:
        ProbsegError: E_DUPLICATE_CASE where two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = nifti_stem(path)
        if not stem or path.name.startswith(".") or not path.is_file():
            continue
        if stem in found:
            raise ProbsegError("E_DUPLICATE_CASE", f"'{found[stem]}' and '{path}' are one scan; take one of them away")
        found[stem] = path
    return found


def nifti_stem(path: Path) -> str:
    """The name without .nii or .nii.gz; empty where it has neither."""
    for suffix in (".nii.gz", ".nii"):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return ""


def warn_unused(files: Sequence[Path], what: str) -> None:
    """Tell of files that belong to nothing."""
    if files:
        warn("W_UNUSED_MASK", f"{len(files)} {what} and were left out, such as '{files[0]}'")
