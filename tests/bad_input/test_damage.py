"""A law for every kind of file: no damage leads to a traceback, to two lines, or to a word on standard output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probseg.case import Geometry
from probseg.importing import SourceCase, SourceReading, write_dataset
from probseg.labels import LabelSet
from probseg.records import DatasetInfo

GRID = Geometry((3, 4, 5), (2.5, 0.5, 0.75))


def checkpoint(root):
    torch.save({"state_dict": {"w": torch.ones(5)}, "hyper_parameters": {"a": [1, "x"]}}, root / "a.ckpt")
    return root / "a.ckpt", root / "a.ckpt"


def safetensors(root):
    pytest.importorskip("safetensors.torch").save_file({"w": torch.ones(3)}, root / "a.safetensors")
    return root / "a.safetensors", root / "a.safetensors"


def stack(root):
    images, masks = np.zeros((3, 8, 8), np.uint8), np.ones((3, 2, 8, 8), np.uint8)
    np.savez_compressed(root / "a.npz", image=images, masks=masks)
    return root / "a.npz", root / "a.npz"


def table(root):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[0, 0] = 1
    readings = (SourceReading("A", mask), SourceReading("B", mask[::-1]))
    image = np.arange(60).reshape(GRID.shape).astype(np.int16)
    cases = [SourceCase(f"c{k}", f"p{k}", "s", image + k, (), GRID, readings) for k in range(2)]
    write_dataset(root / "d", DatasetInfo("x", 3, LabelSet.binary("opacity"), (-1000.0, 400.0)), cases)
    return root / "d" / "cases.csv", root / "d"


def mask_file(root):
    return table(root)[1] / "masks" / "c0" / "A.nii.gz", root / "d"


@pytest.mark.parametrize("make", [checkpoint, safetensors, stack, table, mask_file], ids=lambda f: f.__name__)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_leads_to_a_traceback(tmp_path, run, make, data):
    """``run`` holds each outcome to the rules: one line of error and status 2, or lines of warning and status 0."""
    if not any(tmp_path.iterdir()):
        make(tmp_path)
        (tmp_path / "whole").write_bytes(damaged_file(tmp_path, make)[0].read_bytes())
    file, path = damaged_file(tmp_path, make)
    whole = (tmp_path / "whole").read_bytes()
    damaged = bytearray(whole[: data.draw(st.integers(1, len(whole)))] if data.draw(st.integers(0, 4)) == 0 else whole)
    value = st.sampled_from([*b'",\n\x00\xff-=/']) | st.integers(0, 255)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(value)
    file.write_bytes(damaged)
    run("check", path, "--json")


def damaged_file(root, make):
    """The file to damage and the path to check."""
    if make in (table, mask_file):
        return root / "d" / ("cases.csv" if make is table else "masks/c0/A.nii.gz"), root / "d"
    (found,) = root.glob("a.*")
    return found, found
