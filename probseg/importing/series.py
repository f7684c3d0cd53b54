"""The CT series in a tree of DICOM files, with the slice that each instance is, for annotations that name instances."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.io.dicom.headers import NotAnImage, read_slices
from probseg.io.dicom.order import order_slices, short_uid
from probseg.io.dicom.pixels import read_pixels
from probseg.io.dicom.slices import Slice, check_plane
from probseg.io.guard import is_folder

__all__ = ["Series", "find_series", "group_slices", "names", "ordered_series", "read_series"]

_NOT_DICOM = (".xml", ".json", ".csv", ".txt", ".md", ".zip", ".png", ".jpg", ".nii", ".gz", ".pdf")


@dataclass(frozen=True)
class Series:
    """One CT series of a tree.

    Attributes:
        uid, study: SeriesInstanceUID and StudyInstanceUID.
        patient_id: of its first slice; short name of the series where it is empty.
        folder: of its files.
        slices: in order along the normal.
        geometry: as stored, slices along the normal.
    """

    uid: str
    study: str
    patient_id: str
    folder: Path
    slices: tuple[Slice, ...]
    geometry: Geometry

    @property
    def files(self) -> tuple[Path, ...]:
        """In the order of the slices; a multi-frame file once."""
        return tuple(dict.fromkeys(s.path for s in self.slices))

    @property
    def index(self) -> dict[str, int]:
        """Which slice each SOPInstanceUID is; of a multi-frame file its first."""
        return {s.sop_instance: k for k, s in reversed(list(enumerate(self.slices)))}


def find_series(
    root: Path,
    wanted: frozenset[str] | None = None,
    follow: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> list[Series]:
    """Every CT series of two or more slices below ``root``, by folder and name; other files are passed over.

    Args:
        root: folder.
        wanted: only the series with one of these UIDs, its own or of an instance; others need not be volumes then.
        follow: wraps the files as they are read, to show progress.

    Raises:
        ProbsegError: E_FILE_MISSING, E_NO_DICOM, and what the headers of a series raise.
    """
    grouped = group_slices(root, follow)
    found = [
        ordered_series(folder, slices)
        for (folder, _), slices in grouped.items()
        if len(slices) > 1 and (wanted is None or not wanted.isdisjoint(_uids(slices)))
    ]
    twice = [uid for uid, n in Counter(s.uid for s in found).items() if n > 1]
    if twice:
        places = ", ".join(f"'{s.folder}'" for s in found if s.uid == twice[0])
        raise ProbsegError("E_MULTIPLE_VOLUMES", f"series {short_uid(twice[0])} lies in several folders: {places}")
    return found


def group_slices(
    root: Path, follow: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> dict[tuple[Path, str], list[Slice]]:
    """Slices of every CT image below ``root`` by folder and SeriesInstanceUID, not yet in order.

    Raises:
        ProbsegError: E_FILE_MISSING, E_NO_DICOM, and what a header raises.
    """
    if not is_folder(root):
        raise ProbsegError("E_NO_DICOM", f"'{root}' is a file, but a folder of DICOM series is needed here")
    grouped: dict[tuple[Path, str], list[Slice]] = {}
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() not in _NOT_DICOM)
    for path in follow(files):
        try:
            slices = read_slices(path)
        except NotAnImage:
            continue
        except ProbsegError as error:
            if error.code == "E_MODALITY":  # segmentations and radiographs lie beside the CT in such trees
                continue
            raise
        grouped.setdefault((path.parent, slices[0].series), []).extend(slices)
    if not grouped:
        raise ProbsegError("E_NO_DICOM", f"there is no DICOM image below '{root}'")
    return grouped


def _uids(slices: Sequence[Slice]) -> set[str]:
    return {s.sop_instance for s in slices} | {slices[0].series}


def ordered_series(folder: Path, slices: Sequence[Slice]) -> Series:
    """The slices of one series in their order, or the reason why they are no volume."""
    for item in slices:
        check_plane(item)
    ordered, geometry, _ = order_slices(slices, folder)
    uid = ordered[0].series
    study, patient = _study_and_patient(ordered[0].path)
    return Series(
        uid,
        study,
        patient or f"series-{short_uid(uid)}",
        folder,
        tuple(ordered),
        geometry,
    )


def _study_and_patient(path: Path) -> tuple[str, str]:
    import pydicom

    wanted = ["StudyInstanceUID", "PatientID"]
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(wanted), force=True)
    study, patient = (str(header.get(name) or "").strip() for name in wanted)
    return study, patient


def names(series: Sequence[Series], keep: bool = False) -> list[tuple[str, str]]:
    """Case id and patient id of each series, numbers in their order: a file name must not lead to the patient.

    Args:
        series: in order.
        keep: take PatientID as it stands, for data that were de-identified; a case is then named after its patient, and
            after its series too where he has several.
    """
    patients = {name: f"patient-{k:04d}" for k, name in enumerate(dict.fromkeys(s.patient_id for s in series), start=1)}
    if not keep:
        return [(f"case-{k:04d}", patients[s.patient_id]) for k, s in enumerate(series, start=1)]
    counts = Counter(s.patient_id for s in series)
    found = []
    for entry in series:
        safe = re.sub(r"[^\w.-]+", "-", entry.patient_id)[:60].strip("-.") or "series"
        plain = counts[entry.patient_id] == 1 and safe == entry.patient_id
        found.append((safe if plain else f"{safe}-{short_uid(entry.uid)}", entry.patient_id))
    return found


def read_series(series: Series) -> tuple[NDArray, Geometry]:
    """HU ``(slices, rows, columns)`` as stored and the geometry as stored."""
    volume, codes = read_pixels(series.slices, series.folder)
    faults = Counter(code for s in series.slices for code in set(s.warnings)) + Counter(codes)
    for code, count in faults.items():
        remedy = "'probseg check' of that folder says what it is"
        warn(code, f"{count} of {len(series.slices)} slices in '{series.folder}' have this fault; {remedy}")
    return volume, series.geometry
