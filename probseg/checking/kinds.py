"""What kind of thing lies at a path, and the check that belongs to it."""

from __future__ import annotations

from pathlib import Path

from probseg.checking.finding import Finding
from probseg.io.guard import ZIP_FAULTS, file_size, is_folder
from probseg.manifest import BUNDLED
from probseg.zoo import located

__all__ = ["check"]

_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".pkl", ".bin", ".safetensors")
_CONFIGS = (".yaml", ".yml", ".json")
_FILES_ONLY = (*_CHECKPOINTS, *_CONFIGS, ".nii", ".nii.gz", ".nrrd", ".npz", ".dcm")
_EXPORTED = ("model.json", "model.safetensors")  # as in probseg.models.exported, which needs torch
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def check(path: str | Path, dimensions: int | None = None, series: str | None = None) -> Finding:
    """Check an image, a dataset, a checkpoint, a run folder, an exported folder or a config.

    Args:
        path: what to check; its kind follows from its suffix, from what a folder holds, and from its first bytes.
        dimensions: of an image: 2 for a single one, 3 for a volume; None lets the file decide.
        series: which series of a DICOM folder, by its short name.

    Raises:
        ProbsegError: what is wrong with it.
    """
    path = located(path)
    if str(path) == BUNDLED and not path.exists():
        return _dataset(path)
    if is_folder(path):
        return _folder(path, dimensions, series)
    name = path.name.lower()
    if name in _EXPORTED and all((path.parent / n).is_file() for n in _EXPORTED):
        return _checkpoint(path.with_name("model.safetensors"))
    if name in ("dataset.yaml", "cases.csv") and (path.parent / "dataset.yaml").exists():
        return _dataset(path.parent)
    if name.endswith(_CONFIGS):
        from probseg.checking.config import check_config

        return check_config(path)
    if name.endswith(".npz") and _is_stack(path):
        return _dataset(path)
    if name.endswith(_CHECKPOINTS) or (not name.endswith(_FILES_ONLY) and _starts_as_checkpoint(path)):
        return _checkpoint(path)
    return _image(path, dimensions, series)


def _folder(path: Path, dimensions: int | None, series: str | None) -> Finding:
    if path.name.lower().endswith(tuple(s for s in _FILES_ONLY if s != ".dcm")):
        file_size(path)  # says that it is a folder
    if (path / "dataset.yaml").exists() or (path / "cases.csv").exists() or len(list(path.glob("*.npz"))) == 1:
        return _dataset(path)
    if (path / "checkpoints").is_dir() or any((path / name).is_file() for name in _EXPORTED):
        from probseg.models.checkpoints import best_checkpoint

        return _checkpoint(best_checkpoint(path))
    return _image(path, dimensions, series)


def _dataset(path: Path) -> Finding:
    from probseg.checking.dataset import check_dataset

    return check_dataset(path)


def _checkpoint(path: Path) -> Finding:
    from probseg.checking.checkpoint import check_checkpoint

    return check_checkpoint(path)


def _image(path: Path, dimensions: int | None, series: str | None) -> Finding:
    from probseg.checking.image import check_image

    return check_image(path, dimensions, series)


def _starts_as_checkpoint(path: Path) -> bool:
    file_size(path)
    with path.open("rb") as file:
        head = file.read(4)
    return head == _ZIP or head[:1] == _PICKLE


def _is_stack(path: Path) -> bool:
    """Whether an NPZ holds masks as well; one of a single array is an image."""
    import zipfile

    file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return "masks.npy" in archive.namelist()
    except ZIP_FAULTS:
        return True  # the reader of stacks says what is wrong
