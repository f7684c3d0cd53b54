"""Of several processes exactly one does a piece of work, and what a dead one had begun is done by another."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from probseg.errors import ProbsegError
from probseg.inference.claims import Claims
from probseg.inference.presence import Presence, this_machine

HOUR_NS = 3600 * 10**9


@pytest.fixture
def come(tmp_path: Path):
    """A process that takes part, as many of them as are asked for; all live in this one."""
    presences = []

    def make(**about: object) -> Presence:
        presences.append(Presence(tmp_path / "place", about))
        presences[-1].enter()
        return presences[-1]

    yield make
    for presence in presences:
        presence.leave()


def edit(presence: Presence, **changes: object) -> None:
    """Let the file of a process say something else."""
    path = presence.folder / f"{presence.token}.process"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_one_of_many_gets_the_work(come) -> None:
    claims = [Claims(come()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for name in ("a", "b", "c"):
            got = list(pool.map(lambda c, name=name: c.take(name), claims))
            (winner,) = [c for c in got if c is not None]
            assert winner.number == 1
            assert all(c.standing(name) == winner for c in claims)
    assert {p.name for p in claims[0].folder.glob("*.claiming")} == set()


def test_what_is_settled_is_told_to_the_others(come) -> None:
    a, b = Claims(come()), Claims(come())
    claim = a.take("x")
    assert claim is not None and b.standing("x") is not None and b.standing("x").outcome is None
    a.settle(claim, {"done": True})
    assert b.standing("x").outcome == {"done": True} and b.take("x") is None
    a.presence.leave()
    assert b.take("x") is None, "it was settled while b was there"
    late = Claims(come())
    b.presence.leave()
    assert late.standing("x") is None, "what came of it may have changed since"
    again = late.take("x")
    assert again is not None and again.number == 2


def test_what_a_process_that_left_had_begun_is_free(come) -> None:
    a, b = Claims(come()), Claims(come())
    first = a.take("x")
    assert first is not None and b.take("x") is None
    a.presence.leave()
    second = b.take("x")
    assert second is not None and second.number == 2 and b.is_mine(second)


def in_a_child(work: Callable[[], object]) -> int:
    """The number of a process that has done some work and then killed itself."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # dead, but its number is not free yet
    return child


def test_a_process_of_this_machine_that_was_killed_is_gone_at_once(come, tmp_path: Path) -> None:
    def take() -> None:
        presence = Presence(tmp_path / "place", {})
        presence.enter()
        (tmp_path / "token").write_text(presence.token)
        assert Claims(presence).take("x")

    child = in_a_child(take)
    b = Claims(come())
    assert b.presence.others() == [] and not b.presence.is_alive((tmp_path / "token").read_text())
    taken = b.take("x")
    assert taken is not None and taken.number == 2, "the dead one had the first"
    os.waitpid(child, 0)


def test_a_process_number_that_was_given_again_is_not_the_process(come) -> None:
    a, b = Claims(come()), Claims(come())
    assert a.take("x")
    assert b.presence.is_alive(a.presence.token)
    edit(a.presence, started="long ago")
    assert not b.presence.is_alive(a.presence.token) and b.take("x") is not None


def test_another_machine_is_believed_until_it_was_silent_for_long(come) -> None:
    a, b = Claims(come()), Claims(come())
    first = a.take("x")
    edit(a.presence, host="another", pid=1)
    assert b.take("x") is None
    path = a.folder / f"{a.presence.token}.process"
    now = b.presence.now_ns()
    os.utime(path, ns=(now, now - int(590e9)))
    assert b.take("x") is None
    os.utime(path, ns=(now, now - int(610e9)))
    assert b.take("x") is not None
    assert first is not None and not a.is_mine(first), "it must not publish what it makes of it"
    assert b.presence.now_ns() - now < HOUR_NS


def test_a_claim_that_was_cut_off_is_nobodys_once_it_is_old(come) -> None:
    a = Claims(come())
    path = a._path("x", 1)
    path.write_text('{"name": "x", "ow')
    assert a.take("x") is None, "somebody may be writing it"
    os.utime(path, ns=(0, a.presence.now_ns() - HOUR_NS))
    taken = a.take("x")
    assert taken is not None and taken.number == 2


def test_a_file_system_without_links_serves_as_well(come, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    a, b = Claims(come()), Claims(come())
    assert a.take("x") is not None and b.take("x") is None and b.take("y") is not None


def test_who_else_is_there_and_what_they_say(come, tmp_path: Path) -> None:
    a, b = come(work="one"), come(work="two")
    assert [(p.token, p.about) for p in a.others()] == [(b.token, {"work": "two"})]
    (a.folder / "9-9.process").write_text("{half")
    assert len(a.others()) == 1
    b.leave()
    assert a.others() == [] and not a.is_alive(b.token)


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbsegError, match="E_NOT_WRITABLE"):
        Presence(tmp_path / "file" / "place", {}).enter()


def test_a_machine_has_one_name_and_a_child_the_same(tmp_path: Path) -> None:
    os.waitpid(in_a_child(lambda: (tmp_path / "name").write_text(this_machine())), 0)
    assert (tmp_path / "name").read_text() == this_machine()
