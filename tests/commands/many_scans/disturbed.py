"""Runs that are killed, have a rival or are ranks of a group, in processes forked after the imports: each is quick.

Words: a folder for everything, the config of a run for Lightning's form, then ``predict RUN SCAN...`` without --out.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from watched import watch

import probseg.training  # noqa: F401  # once for all ranks
from probseg.cli import main

CHANGES = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def nothing() -> None:
    """Happens before a scan."""


def die() -> None:
    """As the kernel ends what takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def forked(
    root: Path, words: list[str], name: str, log: str, before: Callable[[], None] = nothing, left: int = -1
) -> int:
    """A run into ``root / name`` that is killed before the so-many-th change below it; never for a negative number."""
    child = os.fork()
    if child:
        return child
    watch(root / log, before)
    out = str(root / name)

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES and out in str(arguments[0]):
            if left == 0:
                die()
            left -= 1

    if left >= 0:
        sys.addaudithook(count)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os._exit(main([*words, "--out", out]))


def ended(child: int) -> int:
    """Exit status, or the negative number of a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_and_go_on(root: Path, words: list[str], seed: int) -> None:
    """Four times killed at a random moment, then to the end; ``done-SEED`` lists what was finished by then."""
    name, draw = f"killed-{seed}", random.Random(seed)
    for limit in (40, 300, 700, 700):
        status = ended(forked(root, words, name, "lost", left=draw.randrange(limit)))
        assert status == -signal.SIGKILL, status
    done = [path.parent.name for path in (root / name).glob("*/summary.json")]
    (root / f"done-{seed}").write_text(" ".join(done))
    assert ended(forked(root, words, name, f"log-{name}")) == 0


def compete(root: Path, words: list[str], name: str, then: Callable[[], None] = nothing) -> tuple[int, int]:
    """Two at once, each with at least one scan; ``then`` happens to the first in its first scan."""
    meeting = root / f"meeting-{name}"
    meeting.mkdir()

    def meet(who: str, then: Callable[[], None]) -> Callable[[], None]:
        def before() -> None:
            if not (meeting / who).exists():
                (meeting / who).touch()
                end = time.monotonic() + 120
                while len(list(meeting.iterdir())) < 2 and time.monotonic() < end:
                    time.sleep(0.01)
                then()

        return before

    a = forked(root, words, name, f"log-{name}-a", meet("a", then))
    b = forked(root, words, name, f"log-{name}-b", meet("b", nothing))
    return ended(b), ended(a)  # a is not waited for before b has ended


def together(log: Path, words: list[str]) -> list[int]:
    """Two ranks, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0, "MASTER_PORT": port}
    children = []
    for rank in (0, 1):
        child = os.fork()
        if not child:
            own = {**shared, "MASTER_ADDR": "127.0.0.1", "RANK": rank, "LOCAL_RANK": rank}
            os.environ.update({name: str(value) for name, value in own.items()})
            watch(log)
            os._exit(main(words))
        children.append(child)
    return [ended(child) for child in children]


def everything(root: Path, config: str, words: list[str]) -> None:
    """A quiet run, and the others."""
    assert ended(forked(root, words, "quiet", "log-quiet")) == 0
    for seed in (1, 2, 3):
        kill_and_go_on(root, words, seed)
    assert compete(root, words, "live") == (0, 0)
    assert compete(root, words, "die", die) == (0, -signal.SIGKILL)
    ddp = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    assert together(root / "log-lightning", ["predict", "-c", config, *ddp]) == [0, 0]


if __name__ == "__main__":
    everything(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
