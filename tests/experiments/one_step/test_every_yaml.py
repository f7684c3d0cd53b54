"""Every configuration of ``experiments`` trains for one step through the real command line, on small data made for it.

A new one is found by itself. A configuration stands alone where it names a class, data and trainer; else the nearest
``trainer.yaml`` and ``data.yaml`` from its folder up to ``experiments`` come before it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from probseg.io.strict_yaml import read_yaml

pytestmark = pytest.mark.journey

ROOT = Path(__file__).parents[3] / "experiments"

# Trained by these tests, which ask more of them.
ELSEWHERE = {
    "training/test_command_line.py": (
        *("lidc_sample/deterministic", "lidc_sample/monte_carlo_dropout", "lidc_sample/ensemble"),
        "lidc_sample/probabilistic_unet",
    ),
    "training/test_family_journeys.py": (
        *("lidc_sample/hierarchical_unet", "lidc_sample/swag", "lidc_sample/test_time_augmentation"),
    ),
    "training/test_rater_journeys.py": ("synthetic/rater_conditioned", "synthetic/rater_confusion"),
    "training/test_calibrating.py": ("synthetic/deterministic",),
    "docs/test_volumes_with_intervals.py": ("synthetic/probabilistic_unet",),
    "experiments/test_cells.py": ("cells/majority", "cells/rater_conditioned", "cells/rater_confusion"),
    "experiments/test_raters.py": ("raters/soft_labels", "raters/stochastic_segmentation"),
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def has_model(path: Path) -> bool:
    model = read_yaml(path).get("model")
    return isinstance(model, dict)


FOUND = sorted(named(p) for p in ROOT.rglob("*.yaml") if has_model(p))
HERE = [name for name in FOUND if name not in {n for names in ELSEWHERE.values() for n in names}]


@pytest.mark.parametrize("name", HERE)
def test_it_trains_for_a_step(trained: Callable[[str], Path], name: str) -> None:
    run = trained(name)
    assert (run / "checkpoints" / "best.ckpt").is_file() and (run / "config.yaml").is_file()


def test_the_others_are_trained_elsewhere(repository: Path) -> None:
    for file, names in ELSEWHERE.items():
        text = (repository / "tests" / file).read_text(encoding="utf-8")
        assert [name for name in names if name not in FOUND or Path(name).name not in text] == [], file
