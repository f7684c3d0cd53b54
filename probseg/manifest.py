"""A dataset on disk: ``dataset.yaml`` and ``cases.csv`` (or one NPZ stack of 2-D images) become cases.

``cases.csv`` has one row a reading; see `COLUMNS`, beside which it may have the column ``note``. Paths are relative to
the folder and must stay inside it.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg import io
from probseg.case import Case, Geometry, Source
from probseg.errors import ProbsegError, warn
from probseg.io.guard import file_size
from probseg.io.stack import Stack
from probseg.io.strict_yaml import read_yaml
from probseg.io.tables import plain_cell
from probseg.records import SPLITS, CaseRecord, Dataset, DatasetInfo, Reading, check_case_id

__all__ = ["BUNDLED", "COLUMNS", "open_dataset"]

COLUMNS = ("case_id", "patient_id", "site", "image", "rater", "mask", "rated", "split")
_KNOWN = (*COLUMNS, "note")  # a note says what was done to a mask before it came here
BUNDLED = "lidc-sample"


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset folder, an NPZ stack (or a folder that holds just one), or the bundled ``lidc-sample``.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE, E_SCHEMA, E_NO_CASES, E_NO_LABELS, E_BAD_CASE_ID, E_DUPLICATE_CASE,
            E_DUPLICATE_RATER, E_PATH_OUTSIDE_ROOT, E_SPLIT_LEAK.
    """
    root = Path(path)
    if str(path) == BUNDLED and not root.exists():
        root = Path(str(resources.files("probseg") / "data" / "lidc_sample"))
    if not root.exists():
        raise ProbsegError("E_FILE_MISSING", f"there is no dataset at '{root}'; give a folder with dataset.yaml")
    if root.is_file():
        return _open_stack(root, None)
    description = root / "dataset.yaml"
    if not description.exists():
        stacks = sorted(root.glob("*.npz"))
        if len(stacks) == 1:
            return _open_stack(stacks[0], None)
        raise ProbsegError("E_FILE_MISSING", f"'{root}' has no dataset.yaml and is not a folder of one NPZ stack")
    data = _read_yaml(description)
    info = DatasetInfo.from_dict(data)
    if info.raters:
        raise ProbsegError("E_SCHEMA", "raters in dataset.yaml has no key 'names'; cases.csv names the raters")
    if "stack" in data and info.channels:
        raise ProbsegError("E_SCHEMA", f"images of the stack of '{root}' have one channel; leave channels out")
    if "stack" in data:
        return _with_repeats(replace(_open_stack(_inside(root, str(data["stack"])), info), path=root))
    records = _read_cases(root / "cases.csv", not info.annotations_only)

    def load(record: CaseRecord) -> Case:
        return _load(record, root, info)

    return _with_repeats(Dataset(info, records, load, root))


def _with_repeats(dataset: Dataset) -> Dataset:
    """The dataset itself; E_UNKNOWN_RATER where ``raters: repeats`` names somebody whom no case has."""
    repeats, known = dict(dataset.info.repeats), set(dataset.raters)
    people = list(repeats.values())
    strange = [r for r in repeats if r not in known]
    # A person without a mask of their own is a name for at least two readings; for one it is a slip of the pen.
    strange += [p for p in people if p not in known and people.count(p) < 2]
    if strange:
        raise ProbsegError(
            "E_UNKNOWN_RATER",
            f"repeats in dataset.yaml name the rater '{strange[0]}', whom no case has; the raters are "
            f"{', '.join(dataset.raters)}",
        )
    return dataset


def _read_yaml(path: Path) -> dict[str, Any]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must be a mapping with name, dimensions, labels and window")
    return data


def _inside(root: Path, relative: str) -> Path:
    """The path below ``root``; refuses one that leaves it."""
    target = root / relative
    try:
        inside = not Path(relative).is_absolute() and target.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or a NUL in the name
        raise ProbsegError("E_FILE_MISSING", f"there is no file '{relative}' in the dataset '{root}'") from error
    if not inside:
        raise ProbsegError("E_PATH_OUTSIDE_ROOT", f"'{relative}' leaves the dataset's folder '{root}'")
    return target


def _read_cases(path: Path, images: bool) -> tuple[CaseRecord, ...]:
    file_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not UTF-8 CSV: {error}") from error
    missing = [c for c in COLUMNS[:6] if c not in header]
    strange = [c for c in header if c not in _KNOWN]
    if len(set(header)) < len(header):
        raise ProbsegError("E_SCHEMA", f"'{path}' names a column twice; the columns are {', '.join(_KNOWN)}")
    if missing or strange:
        fault = f"lacks the column '{missing[0]}'" if missing else f"has the unknown column '{strange[0]}'"
        raise ProbsegError("E_SCHEMA", f"'{path}' {fault}; the columns are {', '.join(_KNOWN)}")
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if None in row or None in row.values():
            raise ProbsegError("E_PARSE", f"'{path}' has a row with more or fewer cells than its header")
        row = {column: plain_cell(value) for column, value in row.items()}
        grouped.setdefault(check_case_id(row["case_id"]), []).append(row)
    if not grouped:
        raise ProbsegError("E_NO_CASES", f"'{path}' lists no case")
    records = tuple(_record(case_id, rows, path.parent, images) for case_id, rows in grouped.items())
    _check_collisions(records)
    return records


def _record(case_id: str, rows: Sequence[Mapping[str, str]], root: Path, images: bool) -> CaseRecord:
    for column in ("patient_id", "site", "image", "split"):
        values = sorted({row.get(column) or "" for row in rows})
        if len(values) > 1:
            raise ProbsegError(
                "E_DUPLICATE_CASE",
                f"case '{case_id}' is listed with different values of {column}; one case, one {column}",
            )
    first = rows[0]
    split = first.get("split") or ""
    if split and split not in SPLITS:
        raise ProbsegError("E_SCHEMA", f"split of case '{case_id}' must be one of {', '.join(SPLITS)} or empty")
    readings = tuple(
        Reading(r["rater"], r["mask"], r.get("rated") or "all", r.get("note") or "")
        for r in rows
        if r["rater"] or r["mask"]
    )
    if not readings:
        raise ProbsegError("E_NO_LABELS", f"case '{case_id}' has no rater; add a row with rater and mask")
    raters = [unicodedata.normalize("NFC", x.rater) for x in readings]
    twice = sorted({r for r in raters if raters.count(r) > 1})
    if twice:
        raise ProbsegError("E_DUPLICATE_RATER", f"rater '{twice[0]}' is listed twice in case '{case_id}'")
    if len({r.casefold() for r in raters}) < len(raters):
        warn("W_RATER_NAME_COLLISION", f"raters of case '{case_id}' differ by letter case only: {', '.join(raters)}")
    if not all(x.rater for x in readings):
        raise ProbsegError("E_SCHEMA", f"case '{case_id}' has a mask without rater; name who drew it")
    if first["image"] and not images:
        raise ProbsegError("E_SCHEMA", f"case '{case_id}' has an image, but dataset.yaml says annotations_only")
    for name in (*([first["image"]] if images else []), *(x.mask for x in readings)):
        if not name:
            raise ProbsegError("E_SCHEMA", f"case '{case_id}' has a row without image or mask")
        _inside(root, name)
    return CaseRecord(case_id, first["patient_id"] or case_id, first.get("site") or "", split, first["image"], readings)


def _check_collisions(records: Sequence[CaseRecord]) -> None:
    seen: dict[str, str] = {}
    splits: dict[str, str] = {}
    for record in records:
        key = unicodedata.normalize("NFC", record.case_id).casefold()
        if key in seen:
            raise ProbsegError(
                "E_DUPLICATE_CASE", f"case ids '{seen[key]}' and '{record.case_id}' are one name on some file systems"
            )
        seen[key] = record.case_id
        if record.split and splits.setdefault(record.patient_id, record.split) != record.split:
            raise ProbsegError(
                "E_SPLIT_LEAK",
                f"the patient of case '{record.case_id}' is in split '{splits[record.patient_id]}' and in "
                f"'{record.split}'; split by patient",
            )


def _load(record: CaseRecord, root: Path, info: DatasetInfo) -> Case:
    path, image, geometry, stored = _image(record, root, info)
    masks, rated = {}, {}
    for reading in record.readings:
        what = f"the mask of rater '{reading.rater}' of case '{record.case_id}'"
        mask = info.labels.encode(io.read_mask(root / reading.mask, geometry, what), what)
        if ((mask > 0) & (mask < info.labels.admissible.shape[0] - (info.labels.unknown is not None))).all():
            warn("W_FULL_MASK", f"{what} is foreground in every voxel; is 0 its background?")
        masks[reading.rater] = mask
        if reading.rated != "all":
            rated[reading.rater] = _rated(reading.rated, record.case_id, root, geometry)
    return Case(record.case_id, record.patient_id, record.site, image, masks, geometry, rated, Source(path, stored))


def _image(record: CaseRecord, root: Path, info: DatasetInfo) -> tuple[Path | None, NDArray, Geometry, Geometry]:
    """The image, or none of its channels on the grid of the first mask where there are annotations only."""
    if not info.annotations_only:
        path = root / record.image
        return (path, *io.read_image(path, info.dimensions, channels=len(info.channels)))
    if not record.readings:
        raise ProbsegError("E_NO_IMAGE", f"case '{record.case_id}' has annotations but no image for a model to see")
    mask, geometry, stored = io.read_image(root / record.readings[0].mask, info.dimensions)
    return None, np.zeros((0, *geometry.shape), mask.dtype), geometry, stored


def _rated(rated: str, case_id: str, root: Path, geometry: Geometry) -> NDArray[np.bool_]:
    """``none``, ``0-5;9`` (slices in canonical order, from 0) or a mask file; booleans that broadcast to the volume."""
    slices = geometry.shape[0] if geometry.dimensions == 3 else 1
    looked = np.zeros((slices, 1, 1) if geometry.dimensions == 3 else (1, 1), dtype=bool)
    if rated == "none":
        return looked
    if not re.fullmatch(r"\d+(-\d+)?(;\d+(-\d+)?)*", rated):
        return io.read_mask(_inside(root, rated), geometry, f"the rated mask of case '{case_id}'") > 0
    for part in rated.split(";"):
        first, _, last = part.partition("-")
        end = int(last or first)
        if end >= slices or int(first) > end:
            raise ProbsegError("E_SCHEMA", f"rated '{part}' of case '{case_id}' must lie in slices 0 to {slices - 1}")
        looked[int(first) : end + 1] = True
    return looked


def _open_stack(path: Path, info: DatasetInfo | None) -> Dataset:
    stack = Stack(path)
    info = stack.default_info() if info is None else info
    labels = info.labels

    def load(record: CaseRecord) -> Case:
        return stack.load(record, labels)

    return Dataset(info, stack.records(), load, path)
