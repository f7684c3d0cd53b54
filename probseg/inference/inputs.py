"""What a user names on the command line, as scans that are read one at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probseg import io
from probseg.case import Case, Source
from probseg.errors import ProbsegError
from probseg.inference.output_folder import RUN_FILES, WORKPLACE
from probseg.io.guard import is_folder, is_nifti_name
from probseg.manifest import BUNDLED, open_dataset
from probseg.records import Dataset

__all__ = ["Scan", "dataset_scans", "is_dataset", "scans_of"]


@dataclass(frozen=True)
class Scan:
    """A scan that is read when it is asked for.

    Attributes:
        case_id: name of its results; unique among the scans of a run and safe as the name of a folder.
        load: reads it; masks are left out.
        source: what it is read from, as text.
    """

    case_id: str
    load: Callable[[], Case]
    source: str = ""


def is_dataset(text: str) -> bool:
    """Whether an input names a dataset rather than one scan: see `probseg.manifest.open_dataset`."""
    path = Path(text)
    if text == BUNDLED and not path.exists():
        return True
    if not is_folder(path):
        return path.suffix.lower() == ".npz"
    return (path / "dataset.yaml").exists() or len(list(path.glob("*.npz"))) == 1


def scans_of(
    inputs: Sequence[str],
    dimensions: int,
    split: Collection[str] | None = None,
    series: str | None = None,
    site: Collection[str] | None = None,
) -> list[Scan]:
    """The scans that inputs stand for; nothing but lists of cases is read yet.

    Args:
        inputs: each a DICOM folder or file, a NIfTI file, or a dataset.
        dimensions: 3 to read volumes, 2 to read single images.
        split: of datasets take only these splits.
        site: of datasets take only these sites.
        series: of DICOM folders read this series.

    Raises:
        ProbsegError: E_FILE_MISSING for a path that does not exist, E_NDIM for a dataset of other dimensions, E_USAGE
            for ``split``, ``site`` or ``series`` where no input takes it, and the codes of `open_dataset`.
    """
    kinds = [is_dataset(text) for text in inputs]
    if (split or site) and not all(kinds):
        raise ProbsegError(
            "E_USAGE", f"--{'split' if split else 'site'} is for datasets, but '{inputs[kinds.index(False)]}' is a scan"
        )
    if series is not None and any(kinds):
        raise ProbsegError("E_USAGE", f"--series is for DICOM folders, but '{inputs[kinds.index(True)]}' is a dataset")
    found: list[Scan] = []
    for text, dataset in zip(inputs, kinds, strict=True):
        if dataset:
            found += dataset_scans(open_dataset(text).select(splits=split, sites=site), dimensions)
        else:
            found.append(_single(Path(text), dimensions, series))
    return list(_named(found))


def dataset_scans(dataset: Dataset, dimensions: int) -> list[Scan]:
    """Every case of a dataset without its masks, which prediction neither needs nor sees."""
    if dataset.info.dimensions != dimensions:
        raise ProbsegError(
            "E_NDIM",
            f"dataset '{dataset.info.name}' has {dataset.info.dimensions} dimensions, but the model was trained "
            f"on data of {dimensions}",
        )
    dataset.require_images()
    blind = [replace(record, readings=()) for record in dataset.records]
    place = "" if dataset.path is None else str(dataset.path.resolve())
    return [Scan(r.case_id, lambda r=r: dataset.load(r), f"{place} {r.image}") for r in blind]  # type: ignore[misc]


def _single(path: Path, dimensions: int, series: str | None) -> Scan:
    name = _safe_stem(path)

    def load() -> Case:
        image, geometry, stored = io.read_image(path, dimensions, series)
        return Case(name, name, "", image, {}, geometry, source=Source(path, stored, series))

    return Scan(name, load, str(path.resolve()))


def _safe_stem(path: Path) -> str:
    """A name for a folder of results from that of a file or folder: letters, digits, dot, dash and underscore."""
    name = (path if path.name not in ("", "..") else path.resolve()).name
    if is_nifti_name(path):
        name = re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)
    elif not path.is_dir():
        name = path.stem
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name)).lstrip("-._")
    return name.encode()[:100].decode(errors="ignore") or "scan"


def _named(scans: Sequence[Scan]) -> Iterator[Scan]:
    """Names made unique, also where letter case does not count: a second ``ct`` becomes ``ct-2``."""
    taken = {name.casefold() for name in (*RUN_FILES, WORKPLACE)}
    for scan in scans:
        name, number = scan.case_id, 1
        while unicodedata.normalize("NFC", name).casefold() in taken:
            number += 1
            name = f"{scan.case_id[:90]}-{number}"
        taken.add(unicodedata.normalize("NFC", name).casefold())
        yield replace(scan, case_id=name)
