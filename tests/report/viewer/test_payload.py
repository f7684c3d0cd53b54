from __future__ import annotations

import hashlib
import json

import pytest

from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.report.viewer import source
from probseg.report.viewer.layers import Layer, ViewedCase
from probseg.report.viewer.payload import Candidate, choose_cases, json_for_script

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "glass", "#00ff00")),
    (LabelGroup("opacity", ("glass",)),),
)


def candidate(name: str, whole: int, coarse: int, made: list[tuple[str, bool]]) -> Candidate:
    def make(small: bool) -> ViewedCase:
        made.append((name, small))
        layers = (Layer("scan", "scan", "A" * (coarse if small else whole)),)
        return ViewedCase(name, layers, (("own", 0.0, 1.0),), False, (), (0.0, 0.0, 0.0))

    return Candidate(name, f"row-{name}", LABELS, (("GED", "0.1"),), make)


def test_cases_come_in_order_while_there_is_room() -> None:
    made: list[tuple[str, bool]] = []
    cases = [candidate("a", 40, 10, made), candidate("b", 70, 20, made), candidate("c", 90, 80, made)]
    found = choose_cases([*cases, candidate("d", 1, 1, made)], 3, 100e-6)
    assert found is not None and found.cases == ("a", "b") and found.anchors == {"row-a": 0, "row-b": 1}
    assert [len(text) for _, text in found.volumes] == [40, 20]  # b is coarse: 40 + 70 > 100
    coarser, left_out = found.messages
    assert coarser.startswith("b is coarser in the viewer than it is") and "--viewer-mb" in coarser
    assert left_out.startswith("c is not in the viewer")
    assert made == [("a", False), ("b", False), ("b", True), ("c", False), ("c", True)]  # d was not asked for


def test_nothing_to_view_is_nothing() -> None:
    assert choose_cases([], 4) is None


def test_what_is_of_interest_keeps_its_colour_and_lung_is_other() -> None:
    found = choose_cases([candidate("a", 1, 1, [])], 1)
    assert found is not None
    lung, glass = json.loads(found.index)[0]["labels"]
    assert (glass["colour"], glass["other"], lung["other"]) == ("#00ff00", False, True)


@pytest.mark.parametrize("evil", ["</script><script>alert(1)//", "<!--", "a & b", "\u2028", "]]>"])
def test_no_name_breaks_out_of_its_script(evil: str) -> None:
    text = str(json_for_script({evil: [evil]}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {evil: [evil]}


def test_what_is_shipped_is_what_the_readme_says() -> None:
    digest = hashlib.sha256(source.NIIVUE.read_bytes()).hexdigest()
    readme = (source.NIIVUE.parent / "README.md").read_text(encoding="utf-8")
    assert digest in readme and source.NIIVUE.name in readme
    assert "BSD 2-Clause" in source.niivue_licence() and "</script" not in source.niivue_source().lower()
