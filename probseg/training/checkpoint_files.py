"""Checkpoints on disk: written beside the target, read back, synced, and only then renamed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from probseg.errors import ProbsegError
from probseg.io.atomic import replacing
from probseg.io.guard import ZIP_FAULTS
from probseg.training.faults import fault_of

__all__ = ["WholeCheckpoints"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all; what was there before stays until the new one is safe on the disk.

    The file is a zip archive with a checksum a record, which is read back before the file takes its name, and again
    whenever probseg opens it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``.

        Raises:
            ProbsegError: E_NONFINITE where a weight is no number, E_NOT_WRITABLE where the disk is full or refuses.
        """
        path = Path(path)
        _require_finite(checkpoint, path)
        with replacing(path) as temporary:
            try:
                with temporary.open("wb") as file:
                    torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's name for a write that the system refused
                if fault_of(error) is not None:  # a loader process that died is told wherever the training just is
                    raise
                raise _refusal(error) from error
            _read_back(temporary)
        _sync_folder(path.parent)


def _require_finite(checkpoint: dict[str, Any], path: Path) -> None:
    for name, value in checkpoint.get("state_dict", {}).items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ProbsegError(
                "E_NONFINITE",
                f"the weight '{name}' is not finite after step {checkpoint.get('global_step')}, so '{path.name}' stays "
                "as it was; begin with a lower learning rate from it (--model.init_args.warm_start)",
            )


def _refusal(error: BaseException) -> OSError:
    """Why the system refused, which torch's error hides behind its own words."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return cause if cause is not None else OSError("the disk may be full")


def _read_back(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except ZIP_FAULTS as error:
        raise OSError("what was written cannot be read back") from error
    if damaged is not None:
        raise OSError("what was written is not what was read back")


def _sync_folder(folder: Path) -> None:
    """So that the new name, too, survives a loss of power."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a system whose folders cannot be opened
        return
    try:
        os.fsync(descriptor)
    except OSError:  # a file system that does not sync folders
        pass
    finally:
        os.close(descriptor)
