from __future__ import annotations

from typing import Any

import pytest

from probseg.adapting import AdaptationMethod, FineTune, Recalibration, build_method
from probseg.errors import ProbsegError


@pytest.mark.parametrize(
    ("name", "labelled", "splits"),
    [
        ("FineTune", True, ("train", "validation")),
        ("probseg.adapting.NormalisationStatistics", False, ("train", "validation")),
        ("EntropyMinimisation", False, ("train", "validation")),
        ("Recalibration", True, ("calibration",)),
    ],
)
def test_a_method_by_name_or_path(name: str, labelled: bool, splits: tuple[str, ...]):
    method, described = build_method(name, {})
    assert isinstance(method, AdaptationMethod) and described["class_path"].endswith(name.rpartition(".")[2])
    assert method.labelled is labelled and method.splits == splits and "test" not in splits
    again, same = build_method(described["class_path"], described["init_args"])
    assert type(again) is type(method) and same == described


def test_settings_arrive():
    method, described = build_method("FineTune", {"steps": 7, "rate": 0.5})
    assert isinstance(method, FineTune) and (method.steps, method.rate) == (7, 0.5)
    assert described["init_args"] == {"steps": 7, "rate": 0.5, "gradient_clip": 100.0}
    other, _ = build_method("Recalibration", {"calibrator": "VectorScaling"})
    assert isinstance(other, Recalibration) and other.calibrator == "VectorScaling"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Nonsense", {}, "names no class; the methods are EntropyMinimisation, FineTune"),
        ("probseg.models.Deterministic", {}, "names no class"),
        ("FineTune", {"stepz": 1}, "does not take --set stepz=1"),
        ("FineTune", {"steps": "many"}, "does not take --set steps=many"),
        ("FineTune", {"rate": 0.0}, "FineTune needs steps"),
        ("FineTune", {"gradient_clip": -1.0}, "FineTune needs steps"),
    ],
)
def test_what_is_none(name: str, settings: dict[str, Any], message: str):
    with pytest.raises(ProbsegError, match="E_SCHEMA") as caught:
        build_method(name, settings)
    assert message in caught.value.message and "\n" not in caught.value.message
