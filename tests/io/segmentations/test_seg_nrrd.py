"""Slicer's segmentations, as pynrrd writes them with Slicer's fields."""

from __future__ import annotations

import nrrd
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io import read_mask
from probseg.io.segmentations import read_segments

GRID = Geometry((4, 5, 6), (2.5, 0.75, 0.5), (-120.0, -80.5, 33.25))
LESION = np.zeros((4, 5, 6), dtype=bool)
LESION[1:3, 2:4, 1:5] = True
CYST = np.zeros((4, 5, 6), dtype=bool)
CYST[2:, 1:3, 4:] = True


def save(path, layers, start=(0, 0, 0), flip=False, **fields):
    """``layers`` (layers, slices, rows, columns) or (slices, rows, columns), from voxel ``start`` of the grid on."""
    directions = np.diag(GRID.spacing[::-1])
    origin = (GRID.affine @ [*start, 1])[:3]
    if flip:  # columns towards right
        origin = (GRID.affine @ [start[0], start[1], start[2] + layers.shape[-1] - 1, 1])[:3]
        directions[0, 0] *= -1
        layers = layers[..., ::-1]
    header = {"space": "left-posterior-superior", "space origin": origin, "kinds": ["domain"] * 3}
    if layers.ndim == 4:
        directions = np.vstack([np.full(3, np.nan), directions])
        header["kinds"] = ["list", *header["kinds"]]
        layers = layers.transpose(0, 3, 2, 1)
    else:
        layers = layers.transpose(2, 1, 0)
    nrrd.write(str(path), layers, header | {"space directions": directions} | fields)
    return path


def named(*segments):
    """Slicer's fields for (name, label value, layer)."""
    fields = {}
    for k, (name, value, layer) in enumerate(segments):
        fields |= {
            f"Segment{k}_ID": f"Segment_{k + 1}",
            f"Segment{k}_Name": name,
            f"Segment{k}_LabelValue": str(value),
            f"Segment{k}_Layer": str(layer),
        }
    return fields


def found(path):
    return {s.name: s for s in read_segments(path, GRID)}


def test_one_layer_with_two_labels(tmp_path):
    labels = np.where(LESION, 4, 0).astype(np.uint8)
    labels[CYST & ~LESION] = 9
    segments = found(save(tmp_path / "a.seg.nrrd", labels, **named(("Lesion: left", 4, 0), ("Cyst", 9, 0))))
    assert [(s.name, s.number) for s in segments.values()] == [("Lesion: left", 4), ("Cyst", 9)]
    assert_array_equal(segments["Lesion: left"].mask, LESION)
    assert_array_equal(segments["Cyst"].mask, CYST & ~LESION)
    assert_array_equal(read_mask(tmp_path / "a.seg.nrrd", GRID, "the mask"), labels)


def test_layers_let_segments_overlap(tmp_path):
    # Lesion and a third share layer 0, as Slicer packs what does not overlap.
    third = np.zeros_like(LESION)
    third[0, 0, 0] = True
    layers = np.stack([np.where(LESION, 1, 0) + np.where(third, 2, 0), np.where(CYST, 1, 0)]).astype(np.uint8)
    path = save(tmp_path / "a.seg.nrrd", layers, **named(("Lesion", 1, 0), ("Cyst", 1, 1), ("Third", 2, 0)))
    segments = found(path)
    assert_array_equal(segments["Lesion"].mask, LESION)
    assert_array_equal(segments["Cyst"].mask, CYST)
    assert_array_equal(segments["Third"].mask, third)
    with pytest.raises(ProbsegError, match=r"E_NDIM.*2 layers.*names of its segments"):
        read_mask(path, GRID, "the mask")


def test_old_files_have_a_layer_a_segment(tmp_path):
    layers = np.stack([LESION, CYST]).astype(np.uint8)
    path = save(tmp_path / "a.seg.nrrd", layers, Segment0_Name="Lesion", Segment1_Name="Cyst")
    assert_array_equal(found(path)["Cyst"].mask, CYST)
    assert_array_equal(found(path)["Lesion"].mask, LESION)


@pytest.mark.parametrize("flip", [False, True])
def test_a_file_cropped_to_its_segments_lies_where_it_was_drawn(tmp_path, flip):
    path = save(tmp_path / "a.seg.nrrd", LESION[1:3, 2:4, 1:6].astype(np.uint8), (1, 2, 1), flip, **named(("L", 1, 0)))
    assert_array_equal(found(path)["L"].mask, LESION)


def test_a_segment_without_voxels_is_there_and_empty(tmp_path):
    path = save(tmp_path / "a.seg.nrrd", LESION.astype(np.uint8), **named(("L", 1, 0), ("nothing", 2, 0)))
    assert not found(path)["nothing"].mask.any()


def test_names_are_utf8(tmp_path):
    path = save(tmp_path / "a.seg.nrrd", LESION.astype(np.uint8), **named(("Laesion", 1, 0)))
    path.write_bytes(path.read_bytes().replace(b"Laesion", "Läsion".encode(), 1))
    assert list(found(path)) == ["Läsion"]


@pytest.mark.parametrize(
    ("code", "start", "fields"),
    [
        ("E_NO_LABELS", (0, 0, 0), {}),
        ("E_UNKNOWN_LABEL", (0, 0, 0), named(("L", 2, 0))),
        ("E_SCHEMA", (0, 0, 0), named(("L", 1, 1))),
        ("E_SCHEMA", (0, 0, 0), named(("L", 1, 0), ("M", 1, 0))),
        ("E_SCHEMA", (0, 0, 0), named(("L", 1, 0), ("L", 2, 0))),
        ("E_SCHEMA", (0, 0, 0), named(("L", "one", 0))),
        ("E_AFFINE_MISMATCH", (0.5, 0, 0), named(("L", 1, 0))),
        ("E_AFFINE_MISMATCH", (1, 0, 0), named(("L", 1, 0))),
        ("E_AFFINE_MISMATCH", (0, 0, -1), named(("L", 1, 0))),
    ],
)
def test_each_fault_has_its_code(tmp_path, code, start, fields):
    path = save(tmp_path / "a.seg.nrrd", LESION.astype(np.uint8), start, **fields)
    with pytest.raises(ProbsegError, match=code):
        read_segments(path, GRID)


def test_fractions_and_pictures_are_refused(tmp_path):
    path = save(tmp_path / "a.seg.nrrd", LESION.astype(np.float32), **named(("L", 1, 0)))
    with pytest.raises(ProbsegError, match="E_DTYPE"):
        read_segments(path, GRID)
    with pytest.raises(ProbsegError, match="E_NDIM"):
        read_segments(path, Geometry((5, 6), None))
