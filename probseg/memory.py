"""Memory that one step frees is kept for the next, and large blocks come in large pages."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_freed_memory", "use_large_pages"]

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
# Whoever sets one of these, or puts another allocator in its place, has decided.
_DECIDED = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Tell the C library to hold on to the memory that this process frees, up to 2 GiB, and to use it again.

    A training step frees as much as it takes. By default large blocks go back to the system at once, and every step
    waits for the system to clear them again: a sixth of the processor time of a small network on a CPU.

    Returns:
        False where nothing was set: the C library is not glibc, or the user has set its allocator's parameters.
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _DECIDED):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS)


def use_large_pages() -> None:
    """Have torch ask Linux for pages of 2 MiB, unless the user has said whether; only before torch is imported.

    To touch 200 MiB for the first time takes a twentieth of the time in such pages.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
