"""Files that are either whole or not there."""

from __future__ import annotations

import pytest

from probseg.errors import ProbsegError
from probseg.io.atomic import replacing, write_bytes, write_text


def test_writes_and_makes_the_folders(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "é\nλ\r\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "é\nλ\r\n".encode()
    write_bytes(tmp_path / "a" / "b" / "c.txt", b"new")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["c.txt"]


def test_a_fault_inside_leaves_the_old_file_and_nothing_else(tmp_path):
    write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        assert (tmp_path / "a.bin").read_bytes() == b"old"
        raise ZeroDivisionError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.bin", b"old")]


def test_the_temporary_file_has_the_suffixes_that_writers_look_at(tmp_path):
    with replacing(tmp_path / "scan 2.5 mm.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        temporary.touch()


@pytest.mark.parametrize("length", [190, 200, 255])
@pytest.mark.parametrize("letter", ["n", "é"])
def test_names_as_long_as_the_file_system_allows(tmp_path, length, letter):
    """A temporary name cut from the target's own once fell together with it, and the result was deleted."""
    name = letter * ((length - 4) // len(letter.encode())) + ".txt"
    write_text(tmp_path / name, "kept")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "kept")]


def test_a_planted_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "result").symlink_to("victim")
    write_text(tmp_path / "result", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "result").is_symlink()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ProbsegError, match="E_NOT_WRITABLE"):
        write_text(tmp_path / "file" / "below.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProbsegError, match="E_NOT_WRITABLE"):
        write_text(tmp_path / "folder", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
