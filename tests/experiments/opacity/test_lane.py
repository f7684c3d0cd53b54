"""The phases one after the other, a step each, as the lane gives them to the command line."""

from __future__ import annotations

import sys

import pytest
import yaml

from probseg.cli import main
from probseg.data.synthetic import default_raters, generate, write

STEP = ("--trainer.max_steps=1", "--trainer.limit_val_batches=1")


@pytest.fixture(scope="module")
def lane(script, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield script("lane")
    sys.modules.pop("measure", None)


@pytest.fixture(scope="module")
def work(script, tmp_path_factory):
    """Four patients of two sites, and the data sets made of them."""
    root = tmp_path_factory.mktemp("work")
    write(generate(4, 2, raters=default_raters(2), shape=(3, 32, 32)), root / "ct", with_truth=False)
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("groups", "lungs", "phase3"):
            patch.setattr(sys, "argv", ["build.py", kind, str(root / "ct"), str(root / "data" / kind)])
            script("build").main()
    return root


@pytest.mark.journey
def test_each_phase_starts_from_the_one_before(work, lane, monkeypatch, capsys):
    monkeypatch.chdir(work)
    sites = ("north", "south")
    steps = {s.name: s for s in lane.steps_of(sites)}
    # as many classes and layers as phase 2, which so need not be trained here
    instead = {"phase3": ["--model.init_args.warm_start=runs/phase1_unet"]}
    said = {}
    for name in ("phase1_lungs", "phase1_unet", "phase3"):
        assert main([*lane.fit_words(steps[name], sites, False), *STEP, *instead.get(name, [])]) == 0
        out = capsys.readouterr()
        said[name] = out.out + out.err
    # the head for other classes starts anew, and nothing else does
    assert "2 of the 100 weights" in said["phase1_unet"] and "outc.conv.weight" in said["phase1_unet"]
    assert "W_WARM_START" not in said["phase1_lungs"] + said["phase3"]
    config = yaml.safe_load((work / "runs" / "phase3" / "config.yaml").read_text(encoding="utf-8"))
    assert config["data"]["root"].endswith("data/phase3")


def test_the_small_overlays_are_left_out_of_the_study_s_sizes(lane):
    (step, *_) = [s for s in lane.steps_of(("a", "b")) if s.name == "without_b"]
    full, small = (" ".join(lane.fit_words(step, ("a", "b"), kind)) for kind in (True, False))
    assert "small" not in full and small.count("/small/") == 3
    assert "--data.sites=[a]" in full and "leave_one_out.yaml" in full
