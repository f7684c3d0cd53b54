"""A file of the opacity study's third phase: its groups judged first, then read slice by slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError
from probseg.importing.public.intensities import HU, kind_of
from probseg.io.guard import check_size, file_size, is_folder

if TYPE_CHECKING:
    import h5py

__all__ = ["SeriesGroup", "find_studies", "read_study"]

_SUFFIXES = (".hdf5", ".h5")
_SPLITS = {"train": "train", "test": "test", "holdout": "validation", "validation": "validation", "": ""}


@dataclass(frozen=True)
class SeriesGroup:
    """One series of a study whose file is open.

    Attributes:
        name: of the group, the series' UID.
        split: by its ``DataUse``; empty where there is none.
        count: how many slices.
    """

    name: str
    split: str
    count: int
    path: Path
    ct: h5py.Dataset
    parenchyma: h5py.Dataset
    vesselness: h5py.Dataset | None

    def slice(self, k: int) -> tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.float32] | None]:
        """HU ``(rows, columns)``, parenchyma ``(3, rows, columns)``, and vesselness where it was asked for.

        Raises:
            ProbsegError: E_CORRUPT, E_NOT_HU, E_UNKNOWN_LABEL where parenchyma holds anything but -1, 0 and 1.
        """
        try:
            hu, parenchyma = self.ct[k], self.parenchyma[k]
            vesselness = None if self.vesselness is None else self.vesselness[k]
        except (OSError, RuntimeError, ValueError) as error:
            raise ProbsegError(
                "E_CORRUPT", f"slice {k} of '{self.path}' cannot be read; copy the file again"
            ) from error
        what = f"slice {k} of '{self.path}'"
        limits = np.iinfo(np.int16)
        if not np.isfinite(hu).all() or hu.min() < limits.min or hu.max() > limits.max or kind_of(hu, what) != HU:
            raise ProbsegError(
                "E_NOT_HU", f"{what} must hold Hounsfield units, but goes from {hu.min():g} to {hu.max():g}"
            )
        strange = np.unique(parenchyma[~np.isin(parenchyma, (-1, 0, 1))])
        if strange.size:
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"Parenchyma of {what} holds {strange[0]:g}, but there may be -1 not said, 0 ruled out and 1 drawn; "
                "correct it",
            )
        return np.rint(hu).astype(np.int16), parenchyma.astype(np.int8), vesselness


def find_studies(sources: Sequence[Path]) -> list[Path]:
    """The HDF5 files among and below the sources, by name.

    Raises:
        ProbsegError: E_FILE_MISSING, E_NO_CASES where there is none, E_DUPLICATE_CASE where two have one name.
    """
    found: dict[str, Path] = {}
    for source in sources:
        inside = sorted(source.rglob("*")) if is_folder(source) else [source]
        for path in (p for p in inside if p == source or (p.suffix.lower() in _SUFFIXES and p.is_file())):
            if path.is_dir():
                continue
            if found.setdefault(path.stem, path).resolve() != path.resolve():
                raise ProbsegError(
                    "E_DUPLICATE_CASE", f"'{found[path.stem]}' and '{path}' are one study; take one of them away"
                )
    if not found:
        raise ProbsegError("E_NO_CASES", f"there is no .hdf5 file below '{sources[0]}'")
    return [found[name] for name in sorted(found)]


def read_study(path: Path, vesselness: bool = False) -> Iterator[SeriesGroup]:
    """The series of one file, which is open until the next is asked for.

    Args:
        path: HDF5.
        vesselness: whether a series must have it.

    Raises:
        ProbsegError: E_MISSING_EXTRA without h5py, E_CORRUPT where it is no HDF5, E_SCHEMA where it has another layout,
            E_SHAPE_MISMATCH, E_TOO_LARGE.
    """
    try:
        import h5py
    except ImportError as error:
        raise ProbsegError(
            "E_MISSING_EXTRA", "HDF5 needs h5py, which is not installed; pip install 'probseg[hdf5]'"
        ) from error
    file_size(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ProbsegError("E_CORRUPT", f"'{path}' is no HDF5 file, or is damaged; copy it again") from error
    with file:
        groups = [name for name in file if isinstance(_own(file, name, path), h5py.Group)]
        if not groups:
            raise ProbsegError("E_SCHEMA", f"'{path}' has no group with CT and Parenchyma; is it of the third phase?")
        for name in groups:
            yield _series(file[name], name, path, vesselness)


def _series(group: Any, name: str, path: Path, vesselness: bool) -> SeriesGroup:
    ct, parenchyma = _array(group, "CT", path), _array(group, "Parenchyma", path)
    vessels = _array(group, "Vesselness", path) if vesselness else None
    if ct.ndim != 3 or 0 in ct.shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"CT of '{path}' has shape {ct.shape}, but must be (slices, rows, columns)"
        )
    count, *plane = ct.shape
    wanted = {"Parenchyma": (parenchyma, (count, 3, *plane)), "Vesselness": (vessels, (count, *plane))}
    for what, (array, shape) in wanted.items():
        if array is not None and array.shape != shape:
            raise ProbsegError(
                "E_SHAPE_MISMATCH", f"{what} of '{path}' has shape {array.shape}, but for its CT it must be {shape}"
            )
    uids = _own(group, "SOPInstanceUIDs", path) if "SOPInstanceUIDs" in group else None
    if uids is not None and len(uids) != count:
        raise ProbsegError("E_SHAPE_MISMATCH", f"'{path}' names {len(uids)} slices, but its CT has {count}")
    check_size(path, int(np.prod([3, *plane])) * 8)
    return SeriesGroup(name, _split(group, path), count, path, ct, parenchyma, vessels)


def _own(group: Any, name: str, path: Path) -> Any:
    """What lies under a name in the file itself; a link may lead to any file of the machine."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ProbsegError("E_SCHEMA", f"'{path}' has a link instead of data; write the data into the file")
    return group[name]


def _array(group: Any, name: str, path: Path) -> Any:
    import h5py

    found = _own(group, name, path) if name in group else None
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf":
        raise ProbsegError("E_SCHEMA", f"'{path}' has no numbers called {name}; is it of the third phase?")
    if found.external or found.is_virtual:
        raise ProbsegError("E_SCHEMA", f"{name} of '{path}' lies in other files; write the data into the file")
    return found


def _split(group: Any, path: Path) -> str:
    """``DataUse`` as a split."""
    import h5py

    found = _own(group, "DataUse", path) if "DataUse" in group else None
    if not isinstance(found, h5py.Dataset) or found.size != 1:
        return ""
    value = np.asarray(found[()]).reshape(-1)[0]
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().lower()
    if text not in _SPLITS:
        raise ProbsegError("E_SCHEMA", f"DataUse of '{path}' must be Train or Test, but is neither; correct it")
    return _SPLITS[text]
