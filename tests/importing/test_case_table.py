"""Tables of cases and of what was rated."""

from __future__ import annotations

import pytest

from probseg.errors import ProbsegError
from probseg.importing.case_table import CaseRow, read_cases, read_rated


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_cases(table):
    text = "\ufefffile,patient_id,site\n a.nii ,p1, north\nb.nii,'=2,\n"
    assert read_cases(table(text)) == [CaseRow("a.nii", "", "p1", "north"), CaseRow("b.nii", "", "=2")]


def test_rated(table):
    assert read_rated(table("rated,case_id,rater\n0-3,c,A\nnone,c,B\n")) == {("c", "A"): "0-3", ("c", "B"): "none"}


CASES = {
    "no file column": ("E_SCHEMA", "case_id\na\n"),
    "unknown column": ("E_SCHEMA", "file,pateint_id\na,b\n"),
    "column twice": ("E_SCHEMA", "file,file\na,b\n"),
    "no rows": ("E_NO_CASES", "file\n"),
    "empty": ("E_EMPTY_FILE", ""),
    "no file": ("E_SCHEMA", "file,case_id\n,b\n"),
    "file twice": ("E_DUPLICATE_CASE", "file\na\na\n"),
    "unknown split": ("E_SCHEMA", "file,split\na,trian\n"),
    "a cell too many": ("E_PARSE", "file\na,b\n"),
    "UTF-16": ("E_PARSE", "file\na\n".encode("utf-16")),
}


@pytest.mark.parametrize(("code", "text"), CASES.values(), ids=CASES.keys())
def test_what_is_refused(table, code, text):
    with pytest.raises(ProbsegError) as caught:
        read_cases(table(text))
    assert caught.value.code == code


def test_a_rater_twice(table):
    with pytest.raises(ProbsegError, match="E_DUPLICATE_RATER"):
        read_rated(table("case_id,rater,rated\nc,A,all\nc,A,none\n"))
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        read_rated(table("case_id,rater\nc,A\n"))
