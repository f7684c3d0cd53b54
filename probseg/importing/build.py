"""The one writer of datasets: cases from any source become a folder that `probseg.manifest.open_dataset` reads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.importing.rated import as_text
from probseg.io.atomic import write_text
from probseg.io.strict_yaml import yaml_text
from probseg.io.tables import write_csv
from probseg.manifest import COLUMNS, open_dataset
from probseg.records import DatasetInfo, check_case_id
from probseg.store import STORE

__all__ = ["SourceCase", "SourceReading", "check_output", "write_dataset"]

_PARTS = frozenset(("dataset.yaml", "cases.csv", "images", "masks", "rated", "truth", STORE))
_PLAIN_NAME = re.compile(r"\w[\w.-]{0,63}")
# Suffixes that say by themselves how a single file is read; a file of any other name is DICOM.
_IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".png", ".tif", ".tiff", ".npz", ".npy", ".jpg", ".jpeg")


@dataclass(frozen=True)
class SourceReading:
    """What one rater drew.

    Attributes:
        rater: name.
        mask: file values (not dense labels), ``space`` of the image's canonical grid.
        rated: ``all``, ``none``, slices such as ``0-5;9`` in canonical order, or booleans that broadcast to ``space``.
        note: what was done to the mask on its way, for example that it was resampled.
    """

    rater: str
    mask: NDArray
    rated: str | NDArray[np.bool_] = "all"
    note: str = ""


@dataclass(frozen=True)
class SourceCase:
    """One scan as a source gives it.

    Attributes:
        case_id, patient_id, site: as in `probseg.case.Case`.
        image: canonical array, ``space`` or ``(channels, *space)``; None where ``files`` are the image, or where the
            dataset has annotations only.
        files: files that are copied bit for bit and are the image: those of one DICOM series in order, or one file.
        geometry: canonical, of the image and of every mask.
        readings: what its raters drew, at least one.
        stored: the geometry of the image before it was turned; the array is written in it.
        split: one of `probseg.records.SPLITS`, or empty.
        note: what was done to the image on its way.
    """

    case_id: str
    patient_id: str
    site: str
    image: NDArray | None
    files: tuple[Path, ...]
    geometry: Geometry
    readings: tuple[SourceReading, ...]
    stored: Geometry | None = None
    split: str = ""
    note: str = ""


def write_dataset(
    out: str | Path,
    info: DatasetInfo,
    cases: Iterable[SourceCase],
    overwrite: bool = False,
    extra: tuple[str, ...] = (),
) -> Path:
    """Write cases as they come; the folder appears under its name when all of them are written and read back as a list.

    ``images/CASE.nii.gz`` (or the files of the source), ``masks/CASE/RATER.nii.gz`` of file values, ``rated/...`` where
    whole slices do not say what was looked at, ``cases.csv`` and ``dataset.yaml``. Single images without spacing
    become ``.png``, or ``.npz`` where PNG cannot hold them.

    Args:
        out: folder that is new or empty.
        info: description; its label set declares every value of the masks.
        cases: taken one by one, so a generator need not fit into memory.
        overwrite: replace an earlier dataset in ``out``.
        extra: names of further files that an earlier dataset in ``out`` may consist of.

    Returns:
        The folder.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS, E_NO_CASES, E_NO_LABELS, E_BAD_CASE_ID, E_DUPLICATE_CASE, E_DUPLICATE_RATER,
            E_UNKNOWN_LABEL, E_SHAPE_MISMATCH, E_SPLIT_LEAK, E_NOT_WRITABLE; nothing is left behind then.
    """
    out = Path(out)
    check_output(out, overwrite, extra)
    with _appearing(out) as folder:
        writer = _Writer(folder, info)
        for case in cases:
            writer.add(case)
        writer.finish(out)
    return out


def check_output(out: Path, overwrite: bool, extra: tuple[str, ...] = ()) -> None:
    """Whether a dataset may be written to ``out``; E_OUTPUT_EXISTS where something else lies there."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' exists and is not a folder; give another --out")
    held = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if held and not overwrite:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; give another --out or add --overwrite")
    foreign = [name for name in held if name not in _PARTS and name not in extra]
    if foreign:
        raise ProbsegError(
            "E_OUTPUT_EXISTS", f"'{out}' holds '{foreign[0]}', which is no part of such a dataset; give another --out"
        )


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well, and is gone when it does not."""
    out = out.parent.resolve() / out.name if out.name else out.resolve()
    digest = hashlib.sha256(os.fsencode(out.name)).hexdigest()[:12]
    temporary = out.with_name(f".tmp{os.getpid()}-{digest}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for stale in out.parent.glob(f".tmp*-{digest}"):
            if not _is_running(stale.name[4:].partition("-")[0]):  # a killed import left it
                shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        retired = out.with_name(f".tmp{os.getpid()}-{digest}-old")
        if out.exists():
            os.replace(out, retired)
        os.replace(temporary, out)
        shutil.rmtree(retired, ignore_errors=True)
    except OSError as error:
        raise ProbsegError("E_NOT_WRITABLE", f"'{out}' cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_running(process: str) -> bool:
    if not process.isdigit() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _Writer:
    """Rows and files of one dataset in the making."""

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        self.folder = folder
        self.info = info
        self.rows: list[tuple[str, ...]] = []
        self.seen: dict[str, str] = {}

    def add(self, case: SourceCase) -> None:
        name = check_case_id(case.case_id)
        key = unicodedata.normalize("NFC", name).casefold()
        if key in self.seen:
            raise ProbsegError(
                "E_DUPLICATE_CASE",
                f"two sources make the case ids '{self.seen[key]}' and '{name}', one name on some file systems; give "
                "each an id of its own with --cases",
            )
        self.seen[key] = name
        if not case.readings:
            raise ProbsegError("E_NO_LABELS", f"case '{name}' has no mask of any rater; leave it out or find its masks")
        self._check_raters(case)
        if case.geometry.dimensions != self.info.dimensions:
            raise ProbsegError(
                "E_NDIM", f"case '{name}' has {case.geometry.dimensions} dimensions, its dataset {self.info.dimensions}"
            )
        image = self._image(case)
        for reading, part in zip(case.readings, _file_names([r.rater for r in case.readings]), strict=True):
            what = f"the mask of rater '{reading.rater}' of case '{name}'"
            mask = self._write(f"masks/{name}/{part}", self._checked(reading.mask, case.geometry, what), case)
            rated = as_text(reading.rated, case.geometry, what)
            if not isinstance(rated, str):
                rated = self._write(f"rated/{name}/{part}", rated.astype(np.uint8), case)
            note = "; ".join(n for n in (case.note, reading.note) if n)
            self.rows.append((name, case.patient_id, case.site, image, reading.rater, mask, rated, case.split, note))

    def _check_raters(self, case: SourceCase) -> None:
        raters = [unicodedata.normalize("NFC", r.rater) for r in case.readings]
        twice = sorted({r for r in raters if raters.count(r) > 1})
        if twice:
            raise ProbsegError("E_DUPLICATE_RATER", f"rater '{twice[0]}' has two masks of case '{case.case_id}'")
        if not all(raters):
            raise ProbsegError("E_SCHEMA", f"case '{case.case_id}' has a mask without rater; name who drew it")

    def _checked(self, mask: NDArray, geometry: Geometry, what: str) -> NDArray:
        """The mask in the smallest type; every value is one that the label set declares."""
        if mask.shape != geometry.shape:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"{what} has shape {mask.shape} but its image has {geometry.shape}; resample it to the image grid",
            )
        labels = self.info.labels.encode(mask, what)
        if not self.info.labels.admissible[labels, 0].any():
            warn("W_FULL_MASK", f"{what} is foreground in every voxel; is 0 its background?")
        return self.info.labels.decode(labels)

    def _image(self, case: SourceCase) -> str:
        name = f"images/{case.case_id}"
        if self.info.annotations_only:
            return ""
        if case.image is not None:
            shape = (*((len(self.info.channels),) if self.info.channels else ()), *case.geometry.shape)
            if case.image.shape != shape:
                raise ProbsegError(
                    "E_SHAPE_MISMATCH", f"the image of case '{case.case_id}' has shape {case.image.shape}, not {shape}"
                )
            return self._write(name, case.image, case)
        if not case.files:
            raise ProbsegError("E_FILE_MISSING", f"case '{case.case_id}' has no image")
        if len(case.files) == 1:
            given = case.files[0].name.lower()
            return self._copy(case.files[0], name + next((s for s in _IMAGE_SUFFIXES if given.endswith(s)), ".dcm"))
        for k, file in enumerate(case.files):  # a file's own name may be the patient's
            self._copy(file, f"{name}/{k:04d}.dcm")
        return name

    def _copy(self, file: Path, name: str) -> str:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        return name

    def _write(self, name: str, array: NDArray, case: SourceCase) -> str:
        from probseg.importing.arrays import write_array

        stored = case.stored if case.image is not None else None
        return write_array(self.folder, name, array, case.geometry, stored)

    def finish(self, out: Path) -> None:
        """The two tables, and a look at them as a reader will see them."""
        if not self.rows:
            raise ProbsegError("E_NO_CASES", f"there is no case to write to '{out}'")
        with_note = any(row[-1] for row in self.rows)
        columns = (*COLUMNS, "note") if with_note else COLUMNS
        write_csv(self.folder / "cases.csv", columns, [row[: len(columns)] for row in self.rows])
        write_text(self.folder / "dataset.yaml", yaml_text(self.info.to_dict()))
        open_dataset(self.folder)


def _file_names(raters: list[str]) -> list[str]:
    """A safe file name a rater: the name itself where it is plain and no other differs by letter case only."""
    folded = [r.casefold() for r in raters]
    names = []
    for rater in raters:
        if _PLAIN_NAME.fullmatch(rater) and folded.count(rater.casefold()) == 1:
            names.append(rater)
            continue
        digest = hashlib.sha256(rater.encode()).hexdigest()[:8]
        names.append(f"{re.sub(r'[^A-Za-z0-9_-]+', '-', rater)[:40].strip('-')}-{digest}".lstrip("-"))
    return names
