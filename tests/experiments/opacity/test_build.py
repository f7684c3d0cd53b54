"""Data sets of the phases: worked by hand, and made of a few synthetic scans."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from probseg.data.synthetic import default_raters, generate, write
from probseg.importing.public.parenchyma import LABELS, phase3_labels
from probseg.manifest import open_dataset


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scans of two raters, at two sites."""
    folder = tmp_path_factory.mktemp("scans") / "ct"
    return write(generate(2, 4, raters=default_raters(2), shape=(4, 48, 48)), folder, with_truth=False)


@pytest.fixture
def run(script, monkeypatch):
    def build(*words):
        monkeypatch.setattr(sys, "argv", ["build.py", *map(str, words)])
        script("opacity/build").main()

    return build


def test_what_a_reader_of_phase_3_says(script):
    # two slices of one row; the second has no opacity, so ground glass is ruled out in all of it
    groups = np.array([[[0, 1, 2, 3, 4]], [[0, 1, 1, 1, 0]]])
    lung, glass, solid = script("opacity/build").parenchyma_of(groups)
    assert lung.tolist() == [[[0, 1, 1, 1, 1]], [[0, 1, 1, 1, 0]]]
    assert glass.tolist() == [[[0, -1, 1, 1, -1]], [[0, 0, 0, 0, 0]]]
    assert solid.tolist() == [[[0, 0, 0, 0, 1]], [[0, 0, 0, 0, 0]]]


def test_the_rules_at_the_borders_of_hu(script):
    hu = np.array([-776, -775, -774, -376, -375, -374])
    names = dict(zip(LABELS.values, LABELS.label_names, strict=True))

    def found(group, opacity_in_slice=True):
        # one more voxel beside them, so that the slice has an opacity
        groups = np.array([[group] * 6 + [4 if opacity_in_slice else 1]])
        said = script("opacity/build").parenchyma_of(groups[None])[:, 0]
        values = phase3_labels(np.array([[*hu, 0]]), said)[0, :6]
        return [names[v] for v in values.tolist()]

    lung, solid = "normal_lung", "consolidation"
    left_open = "lung_without_consolidation"
    # drawn as ground glass: both ends are outside of the range, and vessels begin at -375
    assert found(2) == [lung, left_open, "ground_glass", "ground_glass", "vessels", "vessels"]
    assert found(3) == found(2)  # crazy paving is the same class
    assert found(4) == [lung, solid, solid, solid, solid, solid]
    # not drawn: open where there is an opacity elsewhere in the slice, and no opacity at all where there is none
    assert found(1) == [lung, left_open, left_open, left_open, "vessels", "vessels"]
    none = "lung_without_opacity"
    assert found(1, opacity_in_slice=False) == [lung, none, none, none, "vessels", "vessels"]
    assert found(0) == ["background"] * 6


def test_groups_lungs_and_phase_3_keep_everything_but_the_labels(scans, run, tmp_path):
    source = open_dataset(scans)
    for kind in ("groups", "lungs", "phase3"):
        run(kind, scans, tmp_path / kind)
    groups, lungs, phase3 = (open_dataset(tmp_path / kind) for kind in ("groups", "lungs", "phase3"))
    assert groups.info.window == (-1000.0, 50.0) and phase3.info.window == (-1000.0, 350.0)
    to_group = {0: 0, 1: 1, 2: 1, 5: 2, 6: 3, 7: 3, 8: 4, 9: 4, 10: 4}
    for old, new, inside, third in zip(source, groups, lungs, phase3, strict=True):
        assert (new.patient_id, new.site, new.geometry) == (old.patient_id, old.site, old.geometry)
        assert np.array_equal(new.image, old.image)
        for rater, mask in old.masks.items():
            expected = np.vectorize(to_group.get)(source.info.labels.decode(mask))
            assert np.array_equal(new.masks[rater], expected)
            assert np.array_equal(inside.masks[rater], expected > 0)
            assert np.array_equal(third.masks[rater] == 0, expected == 0)  # background is no lung
            assert np.array_equal(third.masks[rater] == 4, (expected == 4) & (old.image >= -775))


def test_another_source_in_8_bits(scans, run, tmp_path):
    run("groups", scans, tmp_path / "groups")
    groups = open_dataset(tmp_path / "groups")
    site = groups.sites[0]
    run("eight-bit", tmp_path / "groups", tmp_path / "grey", "--site", site, "--shades", -1250, 250)
    grey = open_dataset(tmp_path / "grey")
    assert grey.sites == (site,) and grey.info.window == groups.info.window  # adapt refuses another one
    (case,), (old,) = grey, groups.select(sites=[site])
    seen = 255 * grey.info.normalise(case.image)  # what a model sees, in shades
    # 1500 HU over 255 shades: -500 HU is the middle
    for hu, shade in {-1250: 0, -500: 128, 250: 255, 900: 255}.items():
        assert np.allclose(seen[old.image == hu], shade, atol=0.13)  # whole HU are a quarter of a shade
    expected = np.rint(255 * (np.clip(old.image.astype(float), -1250, 250) + 1250) / 1500)
    assert np.abs(seen - expected).max() <= 1.13 and (np.abs(seen - expected) < 0.13).mean() > 0.99
    assert all(np.array_equal(case.masks[r], old.masks[r]) for r in old.masks)
