"""Every case of a dataset that is not as it should be."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import yaml

from probseg.case import Geometry
from probseg.io import nifti
from probseg.labels import LabelSet
from probseg.manifest import COLUMNS, open_dataset
from probseg.records import DatasetInfo

GRID = Geometry((3, 4, 5), (2.5, 0.5, 0.75))
INFO = DatasetInfo("lungs", 3, LabelSet.binary("opacity"), (-1000.0, 400.0))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "d"
    root.mkdir()
    (root / "dataset.yaml").write_text(yaml.safe_dump(INFO.to_dict()))
    rng = np.random.default_rng(0)
    for name in ("ct", "ct2"):
        nifti.write(root / f"{name}.nii.gz", rng.integers(-1000, 400, GRID.shape).astype(np.int16), GRID)
    for k, rater in enumerate("ABC"):
        mask = np.zeros(GRID.shape, np.uint8)
        mask[0, : k + 1] = 1
        nifti.write(root / f"{rater}.nii.gz", mask, GRID)
    nifti.write(root / "none.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    write(root, row("A"), row("B"), row("C"))
    return root


def row(rater, mask=None, case="c1", patient="p1", image="ct.nii.gz", split=""):
    mask = f"{rater[:1]}.nii.gz" if mask is None else mask
    return (case, patient, "here", image, rater, mask, "all", split)


def write(root, *rows, columns=COLUMNS):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    (root / "cases.csv").write_text(text.getvalue(), encoding="utf-8")


def second(**changes):
    return [row(r, **{"case": "c2", "patient": "p2", "image": "ct2.nii.gz", **changes}) for r in "AB"]


FIRST = [row("A"), row("B")]
ROWS = {
    "control": ("ok", [*FIRST, row("C")]),
    "no rater": ("E_NO_LABELS", [("c1", "p1", "here", "ct.nii.gz", "", "", "", "")]),
    "one rater": ("W_SINGLE_RATER", [row("A")]),
    "rater twice": ("E_DUPLICATE_RATER", [row("A"), row("A", "B.nii.gz")]),
    "one file under two names": ("W_IDENTICAL_RATERS", [row("A"), row("B", "A.nii.gz")]),
    "one empty file under two names": ("W_IDENTICAL_RATERS", [row("A", "none.nii.gz"), row("B", "none.nii.gz")]),
    "raters by letter case": ("W_RATER_NAME_COLLISION", [row("A"), row("a", "B.nii.gz")]),
    "raters by Unicode": ("E_DUPLICATE_RATER", [row("\u00e9", "A.nii.gz"), row("e\u0301", "B.nii.gz")]),
    "HTML in a name": ("ok", [row("<script>alert(1)</script>", "A.nii.gz"), row("B")]),
    "absolute id": ("E_BAD_CASE_ID", [row("A", case="/etc/passwd")]),
    "id that climbs": ("E_BAD_CASE_ID", [row("A", case="..")]),
    "NUL in an id": ("E_BAD_CASE_ID E_PARSE", [row("A", case="c\0")]),
    "line break in an id": ("E_BAD_CASE_ID", [row("A", case="c\n1")]),
    "ANSI in an id": ("E_BAD_CASE_ID", [row("A", case="\x1b[31mred")]),
    "dash before an id": ("E_BAD_CASE_ID", [row("A", case="-rf")]),
    "id of 300": ("E_BAD_CASE_ID", [row("A", case="x" * 300)]),
    "backslashes in an id": ("E_BAD_CASE_ID", [row("A", case="..\\..\\c")]),
    "case twice": ("E_DUPLICATE_CASE", [*FIRST, row("C", image="ct2.nii.gz")]),
    "ids by letter case": ("E_DUPLICATE_CASE", [*FIRST, *second(case="C1")]),
    "ids by Unicode": ("E_DUPLICATE_CASE", [row("A", case="\u00e9"), row("A", case="e\u0301")]),
    "patient in two splits": (
        "E_SPLIT_LEAK",
        [row("A", split="train"), row("B", split="train"), *second(patient="p1", split="test")],
    ),
    "image in two splits": (
        "E_SPLIT_LEAK",
        [row("A", split="train"), row("B", split="train"), *second(image="ct.nii.gz", split="test")],
    ),
    "image under two patients": ("W_DUPLICATE_IMAGE", [*FIRST, *second(image="ct.nii.gz")]),
    "no case": ("E_NO_CASES", []),
    "image outside": ("E_PATH_OUTSIDE_ROOT", [row("A", image="../ct.nii.gz")]),
    "absolute image": ("E_PATH_OUTSIDE_ROOT", [row("A", image="/etc/passwd")]),
    "mask outside": ("E_PATH_OUTSIDE_ROOT", [row("A", "../../A.nii.gz")]),
    "mask missing": ("E_FILE_MISSING", [row("A", "nope.nii.gz")]),
}


@pytest.mark.parametrize(("code", "rows"), ROWS.values(), ids=ROWS.keys())
def test_each_case_of_a_table(folder, expect, code, rows):
    write(folder, *rows)
    assert expect(folder, code).text.replace("\n", "").isprintable()


def test_a_typo_in_a_column(folder, expect):
    write(folder, row("A"), columns=[c.replace("image", "imgae") for c in COLUMNS])
    assert "'image'" in expect(folder, "E_SCHEMA").text


BOMB = "a: &a [x, x]\n" + "".join(
    f"{q}: &{q} [{', '.join(['*' + p] * 9)}]\n" for p, q in zip("abcdefghi", "bcdefghij", strict=True)
)
TEXT = yaml.safe_dump(INFO.to_dict())
TEXTS = {
    "cut off": ("E_PARSE", '{"name": "lungs", "labels": {"classes": ['),
    "NaN": ("E_PARSE", TEXT.replace("-1000.0", ".nan")),
    "beyond numbers": ("E_PARSE", TEXT.replace("-1000.0", "1e999")),
    "typo": ("E_SCHEMA", TEXT.replace("window", "windwo")),
    "name of a class that is a boolean": ("E_SCHEMA", TEXT.replace("opacity", "no")),
    "class twice": ("E_PARSE", TEXT + "name: other\n"),
    "object": ("E_PARSE", "!!python/object/apply:os.system [ls]"),
    "UTF-16": ("E_PARSE", TEXT.encode("utf-16")),
    "bomb": ("E_PARSE", BOMB),
}


@pytest.mark.parametrize(("code", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_each_case_of_a_description(folder, expect, code, text):
    (folder / "dataset.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    expect(folder, code)


def test_numbers_as_yaml_1_2_writes_them(folder, expect):
    (folder / "dataset.yaml").write_text(TEXT.replace("-1000.0", "-1e3"))
    expect(folder, "ok")
    assert open_dataset(folder).info.window == (-1000.0, 400.0)


def test_one_rater_has_no_agreement(folder, run, tmp_path):
    """Null and not 1.0."""
    write(folder, row("A"))
    assert run("agreement", folder, "--out", tmp_path / "a").warnings == ("W_SINGLE_RATER",)
    report = json.loads((tmp_path / "a" / "agreement.json").read_text())
    assert report["complete_agreement"] == {"value": None, "low": None, "high": None, "n": 0}
    assert report["structures"]["opacity"]["dice"]["value"] is None


def test_the_table_of_a_sound_dataset(folder, run):
    write(folder, *FIRST, row("C"), *second(), ("c3", "p3", "there", "ct.nii.gz", "A", "none.nii.gz", "0-1", "train"))
    outcome = run("check", folder)
    assert set(outcome.warnings) == {"W_SINGLE_RATER", "W_DUPLICATE_IMAGE"}
    lines = [" ".join(line.split()) for line in outcome.text.splitlines()]
    for line in (
        "lungs: 3 cases of 3 patients, 3-D, 3 raters",
        "here 2 2 2 3 x 4 x 5 2.5 x 0.5 x 0.75",
        "there 1 1 0 3 x 4 x 5 2.5 x 0.5 x 0.75",
        "A 3 0 1 1",
        "B 2 1 0 0",
        "C 1 2 0 0",
        "opacity 5 10 0.009375 0.01406",
        "sound, with 2 warnings",
    ):
        assert line in lines, (line, lines)
    facts = run("check", folder, "--json").facts
    assert facts["raters"]["C"] == {"read": 1, "missing": 2, "partly_unrated": 0, "empty": 0}
    assert facts["splits"] == {"train": {"cases": 1, "patients": 1}, "none": {"cases": 2, "patients": 2}}


def test_annotations_without_images_are_checked_too(folder, expect):
    (folder / "dataset.yaml").write_text(TEXT + "annotations_only: true\n")
    write(folder, *[(*r[:3], "", *r[4:]) for r in FIRST])
    assert expect(folder, "ok").facts["cases"] == 1
