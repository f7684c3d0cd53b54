"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from probseg import memory

# Page faults of a loop that takes and frees 64 MiB, before and after.
COUNT = """
import resource, sys
from probseg.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(2**26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
plain = faults()
assert keep_freed_memory()
faults()
print(plain, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux")
def test_a_freed_block_is_used_again():
    run = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    plain, kept = map(int, run.stdout.split())
    assert plain > 4 * 1000 and kept < plain / 20


def test_a_user_who_set_the_allocator_has_decided(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    assert not memory.keep_freed_memory()
    monkeypatch.delenv("MALLOC_TOP_PAD_")
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    assert not memory.keep_freed_memory()


def test_large_pages_are_asked_for_unless_the_user_has_said(monkeypatch):
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    memory.use_large_pages()
    assert memory.os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    memory.use_large_pages()
    assert memory.os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
