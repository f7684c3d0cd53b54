"""Patterns with names in braces."""

from __future__ import annotations

import pytest

from probseg.errors import ProbsegError
from probseg.importing.patterns import every_file, find, placeholders


@pytest.fixture
def root(tmp_path):
    for name in ("anna/c1.nii", "anna/c1_x.nii", "ben/c1.nii", "ben/c2.nii", "ben/deep/c1.nii", "[a]/c1*.nii"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def said(root, pattern, **known):
    return [(p.relative_to(root).as_posix(), *d.values()) for p, d in find(f"{root}/{pattern}", known)]


def test_known_names_are_put_in(root):
    assert said(root, "anna/{case}.nii", case="c1") == [("anna/c1.nii",)]
    assert said(root, "anna/{case}.nii", case="c9") == []
    assert said(root, "[a]/{case}.nii", case="c1*") == [("[a]/c1*.nii",)]


def test_other_names_are_read(root):
    assert said(root, "{rater}/{case}.nii", case="c1") == [("anna/c1.nii", "anna"), ("ben/c1.nii", "ben")]
    assert said(root, "{rater}/{case}.nii", case="c2") == [("ben/c2.nii", "ben")]
    assert said(root, "{rater}/{case}_{class}.nii", case="c1") == [("anna/c1_x.nii", "anna", "x")]
    assert said(root, "{case}/{case}.nii") == []


def test_wildcards_of_a_shell(root):
    assert said(root, "ben/**/{case}.nii", case="c1") == [("ben/c1.nii",), ("ben/deep/c1.nii",)]
    assert said(root, "an*/{case}.ni?", case="c1") == [("anna/c1.nii",)]
    assert len(every_file(f"{root}/{{rater}}/{{case}}.nii")) == 5


def test_a_name_that_nobody_knows():
    assert placeholders("{a}/{b}/{a}", ("a", "b"), "--x") == ["a", "b"]
    with pytest.raises(ProbsegError, match=r"E_USAGE: --x has no placeholder '\{c\}'; there are \{a\}, \{b\}"):
        placeholders("{c}", ("a", "b"), "--x")
