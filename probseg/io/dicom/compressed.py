"""Compressed frames, decoded in worker processes.

Processes and not threads: the decoders keep the interpreter's lock for most of their time, so that two threads are no
faster than one; and a worker that a damaged stream kills takes nothing else down.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID, RLELossless

from probseg.errors import ProbsegError
from probseg.io.dicom.slices import NATIVE

__all__ = ["Compressed", "check_decoder", "decode"]

_FRAMES_AT_A_TIME = 16
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
# pydicom's name of the decoder to take first, and the packages that bring it
_PYJPEGLS = ("pyjpegls", "pyjpegls")
_OPENJPEG = ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg")
_GDCM = ("gdcm", "python-gdcm")
_FIRST_CHOICE = {
    "1.2.840.10008.1.2.4.80": _PYJPEGLS,
    "1.2.840.10008.1.2.4.81": _PYJPEGLS,
    "1.2.840.10008.1.2.4.90": _OPENJPEG,
    "1.2.840.10008.1.2.4.91": _OPENJPEG,
    "1.2.840.10008.1.2.4.201": _OPENJPEG,
    "1.2.840.10008.1.2.4.202": _OPENJPEG,
    "1.2.840.10008.1.2.4.203": _OPENJPEG,
}
# What pydicom's decoders raise on broken streams; anything else is a bug and may show itself.
_DECODER_FAULTS = (
    ValueError,
    NotImplementedError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,
    OSError,
    struct.error,
)


@dataclass(frozen=True)
class Compressed:
    """Compressed frames of one file: their numbers, transfer syntax UID, and the bits stored of a sample."""

    path: Path
    frames: tuple[int, ...]
    syntax: str
    bits_stored: int


def check_decoder(path: Path, syntax: str, bits_stored: int = 8) -> None:
    """Refuse compressed pixels that nothing installed can decode.

    Args:
        path: the file, named in the error.
        syntax: transfer syntax UID.
        bits_stored: of a sample.

    Raises:
        ProbsegError: E_NO_DECODER, naming the syntax and the package.
    """
    if syntax not in NATIVE:
        _decoder_for(path, syntax, bits_stored)


def _decoder_for(path: Path, syntax: str, bits_stored: int) -> str:
    """The decoder to use, by pydicom's name; the first choice where it is installed."""
    # pydicom would warn of a malformed UID and quote it; here it is one more syntax that nothing decodes
    uid = UID(syntax, validation_mode=pydicom.config.IGNORE)
    try:
        plugins = get_decoder(uid).available_plugins if uid.is_valid else ()
    except NotImplementedError:
        plugins = ()
    name, package = _FIRST_CHOICE.get(syntax, _GDCM)
    if syntax == _JPEG_EXTENDED and bits_stored > 8:
        # gdcm and Pillow decode its 8-bit form only
        plugins = tuple(p for p in plugins if p == "pylibjpeg")
        name, package = "pylibjpeg", "pylibjpeg pylibjpeg-libjpeg (GPL-3, so no part of probseg)"
    if not plugins:
        known = uid.is_valid and not uid.is_private and uid.is_transfer_syntax
        called = uid.name if known else "an unknown transfer syntax"
        extra = "" if syntax == _JPEG_EXTENDED else ", or 'probseg[dicom]'"
        raise ProbsegError(
            "E_NO_DECODER", f"'{path}' is compressed as {called}, which needs a decoder: pip install {package}{extra}"
        )
    return name if name in plugins else plugins[0]


def decode(wanted: Sequence[Compressed]) -> Iterator[tuple[NDArray, bool]]:
    """Decode frames.

    Args:
        wanted: frames of one file or of several.

    Yields:
        Every frame in the order given: stored values ``(rows, columns)``, and whether the decoder complained. Few
        frames are held at a time.

    Raises:
        ProbsegError: E_NO_DECODER; E_DECODE where a stream is damaged.
    """
    tasks = [
        (w.path, _decoder_for(w.path, w.syntax, w.bits_stored), w.frames[k : k + _FRAMES_AT_A_TIME])
        for w in wanted
        for k in range(0, len(w.frames), _FRAMES_AT_A_TIME)
    ]
    if _may_decode_here(wanted):
        results: Iterator[tuple[NDArray, bool]] = (_decode(*task) for task in tasks)
    else:
        results = _decode_in_workers(tasks)
    for frames, complained in results:
        for frame in frames:
            yield frame, complained


def _may_decode_here(wanted: Sequence[Compressed]) -> bool:
    """RLE is decoded by Python, which nothing takes down; a worker of a data loader may start no processes."""
    alone = sum(len(w.frames) for w in wanted) == 1 and wanted[0].syntax == RLELossless
    return alone or multiprocessing.current_process().daemon


def _decode_in_workers(tasks: Sequence[tuple[Path, str, tuple[int, ...]]]) -> Iterator[tuple[NDArray, bool]]:
    import joblib  # a tenth of a second that uncompressed series do without
    from joblib.externals.loky.process_executor import BrokenProcessPool

    workers = max(2, min(joblib.cpu_count(), len(tasks)))  # one would decode in this process
    pool = joblib.Parallel(
        n_jobs=workers, backend="loky", return_as="generator", batch_size=1, pre_dispatch=2 * workers, max_nbytes=None
    )
    try:
        yield from pool(joblib.delayed(_decode_silently)(*task) for task in tasks)
    except BrokenProcessPool as error:
        raise ProbsegError(
            "E_DECODE", f"a decoder broke down on the compressed pixels of '{tasks[0][0].parent}'; export it again"
        ) from error


def _decode_silently(path: Path, name: str, frames: tuple[int, ...]) -> tuple[NDArray, bool]:
    with _silence():
        return _decode(path, name, frames)


@contextmanager
def _silence() -> Iterator[None]:
    """Native decoders print to the terminal, past Python; in a worker it may be shut for the while."""
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)


def _decode(path: Path, name: str, frames: tuple[int, ...]) -> tuple[NDArray, bool]:
    """``(frames, rows, columns)`` by pydicom's decoder of that name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            data = pydicom.dcmread(path, force=True)
            decoded = list(iter_pixels(data, indices=frames, decoding_plugin=name))
            shape = (int(data.Rows), int(data.Columns))
        except _DECODER_FAULTS:
            # the cause may quote the header, and need not survive the way back from a worker
            raise _damaged(path) from None
    if len(decoded) != len(frames) or any(frame.shape != shape for frame in decoded):
        raise _damaged(path)
    return np.stack(decoded), bool(caught)


def _damaged(path: Path) -> ProbsegError:
    return ProbsegError("E_DECODE", f"the compressed pixels of '{path}' are damaged; export it again")
