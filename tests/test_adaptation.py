from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from probseg.adaptation import AdaptationNote, require_unseen
from probseg.errors import ProbsegError
from probseg.records import CaseRecord

NOTE = AdaptationNote(
    method={"class_path": "probseg.adapting.FineTune", "init_args": {"steps": 3}},
    labelled=True,
    dataset="toy",
    root="data",
    site="south",
    splits=("train",),
    patients=("anna", "ben"),
    cases=("a-1", "b-1"),
    tested_patients=("cleo",),
    seed=0,
    run="runs/north",
    checkpoint_sha256="0" * 64,
    done={"examples": 6},
)


def record(patient: str) -> CaseRecord:
    return CaseRecord(f"case-of-{patient}", patient, "south", "test", "0", ())


def test_what_is_written_is_read_in_plain_types(tmp_path: Path):
    assert AdaptationNote.read(tmp_path) is None
    NOTE.write(tmp_path)
    note = AdaptationNote.read(tmp_path)
    assert note == NOTE.to_dict() == json.loads(json.dumps(NOTE.to_dict()))
    assert note["patients"] == ["anna", "ben"] and note["before"] is None


def test_patients_of_every_adaptation_in_a_row_are_not_tested(tmp_path: Path):
    assert require_unseen(tmp_path, [record("anna")]) is None  # a run that was not adapted
    second = replace(NOTE, patients=("dora",), before=NOTE.to_dict())
    second.write(tmp_path)
    assert require_unseen(tmp_path, [record("cleo")]) == second.to_dict()
    for patient in ("dora", "ben"):
        with pytest.raises(ProbsegError, match=f"E_SPLIT_LEAK: 1 of the patients to be tested, such as '{patient}'"):
            require_unseen(tmp_path, [record("cleo"), record(patient)])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"patients": 3}', '{"patients": []}'])
def test_a_damaged_note_is_one_line(text: str, tmp_path: Path):
    AdaptationNote.path(tmp_path).write_text(text, encoding="utf-8")
    with pytest.raises(ProbsegError, match="E_PARSE"):
        AdaptationNote.read(tmp_path)
