"""What the lane types: every phase with its overlays, sites left out, and the study's sizes without any of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from probseg.io.strict_yaml import read_yaml

SITES = ("a", "b")


@pytest.fixture(scope="module")
def lane(script):
    return script("opacity/lane")


@pytest.fixture(scope="module")
def steps(lane):
    return {step.name: step for step in lane.steps_of(SITES)}


def test_every_setting_of_the_folder_has_its_step(lane, steps, folder):
    used = {name for step in steps.values() for name in step.configs}
    has = {p.stem for p in folder.glob("*.yaml") if isinstance(read_yaml(p).get("model"), dict)}
    assert used == has
    words = [word for step in steps.values() for word in lane.fit_words(step, SITES, False)]
    assert all(Path(word).is_file() for word in words if word.endswith(".yaml"))


def test_a_run_comes_after_the_one_that_it_starts_from(lane, steps, folder):
    order = list(steps)
    for name, step in steps.items():
        for config in step.configs:
            settings = read_yaml(folder / f"{config}.yaml")["model"]["init_args"]
            start = settings.get("warm_start") or settings.get("member", {}).get("init_args", {}).get("warm_start")
            assert start is None or order.index(start.removeprefix("runs/")) < order.index(name)


def test_the_site_that_is_left_out_is_not_among_those_of_the_training(lane, steps):
    words = lane.fit_words(steps["without_b"], SITES, False)
    assert "--data.sites=[a]" in words
    assert not any(w.startswith("--data.sites") for w in lane.fit_words(steps["phase1_unet"], SITES, False))


def test_the_studys_sizes_have_no_overlay_of_ours(lane, steps):
    full, small = (" ".join(lane.fit_words(steps["without_b"], SITES, full)) for full in (True, False))
    assert "/small/" not in full and "phase1_unet.yaml" in full and small.count("/small/") == 2
