"""Synthetic cases on disk as a hospital and its raters would leave them: DICOM series, one NIfTI mask a rater."""

from __future__ import annotations

import csv
import hashlib
import io as text_io
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydicom.dataset import Dataset as DicomDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from probseg.case import Case
from probseg.data.synthetic.generate import SyntheticCase
from probseg.data.synthetic.patterns import LABELS, WINDOW
from probseg.errors import ProbsegError
from probseg.io import nifti
from probseg.io.atomic import replacing, write_text
from probseg.manifest import COLUMNS
from probseg.records import SPLITS, DatasetInfo, check_case_id
from probseg.store import STORE

__all__ = ["DEFAULT_SHARES", "INFO", "empty_folder", "split_patients", "write"]

INFO = DatasetInfo(
    name="synthetic-ct",
    dimensions=3,
    labels=LABELS,
    window=WINDOW,
    stable_raters=True,
    note="Synthetic chest CT with simulated opacities and simulated raters; no patient is behind it.",
)

DEFAULT_SHARES = (0.6, 0.1, 0.1, 0.2)
"""Shares of the patients in train, validation, calibration and test."""

_PARTS = ("dataset.yaml", "cases.csv", "images", "masks", "truth", STORE)
_INTERCEPT = -1024
_ROOT = "2.25"  # unique identifiers from UUIDs need no registered root (DICOM PS3.5, B.2)


def write(
    cases: Iterable[SyntheticCase],
    folder: str | Path,
    seed: int = 0,
    shares: Sequence[float] = DEFAULT_SHARES,
    overwrite: bool = False,
    with_truth: bool = True,
) -> Path:
    """Write a dataset that `probseg.manifest.open_dataset` reads back bit for bit.

    ``images/CASE/0000.dcm`` and on (CT Image Storage), ``masks/CASE/RATER.nii.gz`` of file values, ``cases.csv`` with
    unread slices left out of ``rated``, and, last of all, ``dataset.yaml``. What no reader may know lies apart:
    ``truth/CASE.nii.gz`` (file values) and ``truth/CASE.npz`` with ``distribution`` (classes, *space).

    Args:
        cases: at least one; taken one by one, so a generator need not fit into memory.
        folder: new or empty.
        seed: of the split by patient.
        shares: of the patients in train, validation, calibration and test.
        overwrite: replace an earlier dataset in ``folder``.
        with_truth: whether to write ``truth``.

    Returns:
        The folder.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS, E_NO_CASES, E_NOT_WRITABLE.
    """
    folder = empty_folder(folder, _PARTS, overwrite)
    rows: list[dict[str, str]] = []
    for synthetic in cases:
        case = synthetic.case
        name = check_case_id(case.case_id)
        _write_series(case, folder / "images" / name)
        for rater, mask in case.masks.items():
            path = f"masks/{name}/{check_case_id(rater)}.nii.gz"
            nifti.write(folder / path, LABELS.decode(mask), case.geometry)
            entries = (name, case.patient_id, case.site, f"images/{name}", rater, path, _slices_read(case, rater), "")
            rows.append(dict(zip(COLUMNS, entries, strict=True)))
        if with_truth:
            nifti.write(folder / "truth" / f"{name}.nii.gz", LABELS.decode(synthetic.truth), case.geometry)
            with replacing(folder / "truth" / f"{name}.npz") as path_npz:
                np.savez_compressed(path_npz, distribution=synthetic.distribution)
    if not rows:
        raise ProbsegError("E_NO_CASES", f"there is no case to write to '{folder}'")
    splits = split_patients([row["patient_id"] for row in rows], seed, shares)
    buffer = text_io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "split": splits[row["patient_id"]]} for row in rows)
    write_text(folder / "cases.csv", buffer.getvalue())
    write_text(folder / "dataset.yaml", yaml.safe_dump(INFO.to_dict(), sort_keys=False, allow_unicode=True))
    return folder


def empty_folder(folder: str | Path, parts: Sequence[str], overwrite: bool) -> Path:
    """A folder to write a dataset to: new, empty, or with ``overwrite`` an earlier dataset, which is removed.

    Args:
        folder: the folder.
        parts: names of files and folders that a dataset of this kind consists of; nothing else is ever removed.
        overwrite: whether an earlier dataset may go.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS when it holds something, or something other than a dataset.
    """
    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{folder}' exists and is not a folder; give another --out")
    held = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    foreign = [name for name in held if name not in parts]
    if held and not overwrite:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{folder}' is not empty; give another --out or add --overwrite")
    if foreign:
        raise ProbsegError(
            "E_OUTPUT_EXISTS",
            f"'{folder}' holds '{foreign[0]}', which is no part of such a dataset; give another --out",
        )
    try:
        for name in held:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProbsegError("E_NOT_WRITABLE", f"'{folder}' cannot be written: {error.strerror}") from error
    return folder


def split_patients(patients: Iterable[str], seed: int, shares: Sequence[float] = DEFAULT_SHARES) -> dict[str, str]:
    """Each patient's split; all cases of a patient share it.

    Patients are shuffled by ``seed``; the counts come as near to ``shares`` as whole patients can, but with four or
    more patients every split with a share has at least one.

    Raises:
        ProbsegError: E_USAGE when the shares are not four numbers that sum to 1.
    """
    share = np.asarray(shares, dtype=float)
    if share.shape != (len(SPLITS),) or (share < 0).any() or abs(share.sum() - 1) > 1e-9:
        raise ProbsegError("E_USAGE", f"shares must be {len(SPLITS)} numbers that sum to 1, but are {list(shares)}")
    names = sorted(set(patients))
    quota = share * len(names)
    counts = (share > 0).astype(int) if len(names) >= len(SPLITS) else np.zeros(len(SPLITS), dtype=int)
    while counts.sum() < len(names):
        counts[np.argmax(np.round(quota - counts, 9))] += 1  # rounded, so that a tie goes to the first
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(names))
    splits = np.repeat(np.asarray(SPLITS), counts)
    return {names[k]: str(split) for k, split in zip(order, splits, strict=True)}


def _slices_read(case: Case, rater: str) -> str:
    """The column ``rated``: ``all``, ``none``, or ranges such as ``0-5;9`` in canonical slice order."""
    if rater not in case.rated:
        return "all"
    read = np.flatnonzero(case.rated_by(rater).any(axis=(1, 2)))
    if len(read) == 0:
        return "none"
    runs = np.split(read, np.flatnonzero(np.diff(read) > 1) + 1)
    return ";".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def _write_series(case: Case, folder: Path) -> None:
    """One file a slice; identifiers follow from the case's name and voxels, so from its seed."""
    content = hashlib.sha256(np.ascontiguousarray(case.image).tobytes()).hexdigest()
    identity = f"{case.case_id}/{case.patient_id}/{case.site}/{content}"
    for k in range(case.geometry.shape[0]):
        with replacing(folder / f"{k:04d}.dcm") as path:
            _slice(case, k, identity).save_as(path, enforce_file_format=True)


def _slice(case: Case, k: int, identity: str) -> DicomDataset:
    """Slice k as CT Image Storage, with what PS3.3 A.3 asks of it."""
    geometry = case.geometry
    assert geometry.spacing is not None
    stored = case.image[k].astype(np.int32) - _INTERCEPT
    position = geometry.affine @ np.array([k, 0, 0, 1.0])
    direction = np.asarray(geometry.direction)
    ds = DicomDataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, _uid(identity, f"instance-{k}")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "", "", "1"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "probseg", "synthetic"
    ds.InstitutionName, ds.StudyDescription, ds.SeriesDescription = case.site, "Synthetic chest CT", "axial"
    ds.PatientName, ds.PatientID = f"Synthetic^{case.patient_id}", case.patient_id
    ds.PatientBirthDate, ds.PatientSex, ds.PatientIdentityRemoved = "", "O", "YES"
    ds.DeidentificationMethod = "Synthetic image; there is no patient"
    ds.BodyPartExamined, ds.PatientPosition, ds.KVP = "CHEST", "HFS", "120"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(case.patient_id, identity, "study"), _uid(identity, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(identity, "frame"), ""
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 1, 1, k + 1
    ds.ImagePositionPatient = [_decimal(v) for v in position[:3]]
    ds.ImageOrientationPatient = [_decimal(v) for v in (*direction[:, 2], *direction[:, 1])]
    ds.SliceLocation = _decimal(position[2])
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(geometry.spacing[0])
    ds.PixelSpacing = [_decimal(v) for v in geometry.spacing[1:]]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = geometry.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "-600", "1500"
    ds.BurnedInAnnotation = "NO"
    ds.PixelData = _as_int16(stored).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _as_int16(stored: NDArray[np.int32]) -> NDArray[np.int16]:
    low, high = int(stored.min()), int(stored.max())
    if low < -32768 or high > 32767:
        raise ProbsegError("E_DTYPE", f"HU from {low + _INTERCEPT} to {high + _INTERCEPT} do not fit 16 bits")
    return stored.astype("<i2")


def _uid(*parts: str) -> str:
    digest = hashlib.sha256("/".join(parts).encode()).digest()[:16]
    return f"{_ROOT}.{uuid.UUID(bytes=digest, version=5).int}"


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters; exact for the lengths that `Site` makes."""
    text = f"{float(value) + 0.0:.10f}".rstrip("0").rstrip(".")
    return text[:16] if "." in text[:16] else f"{float(value):.8g}"
