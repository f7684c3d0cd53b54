"""NRRD volumes, written by pynrrd and by hand."""

from __future__ import annotations

import re

import nrrd as pynrrd
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from probseg.errors import ProbsegError
from probseg.io import nrrd as ours
from probseg.io import read_image, read_mask

SPACING = (2.5, 0.75, 0.5)  # slices, rows, columns
ORIGIN = (-120.0, -80.5, 33.25)


def header(**values):
    """An axial volume in LPS; axes fastest first."""
    fields = {
        "space": "left-posterior-superior",
        "space directions": np.diag(SPACING[::-1]),
        "space origin": np.array(ORIGIN),
        "kinds": ["domain"] * 3,
    } | values
    return {key: value for key, value in fields.items() if value is not None}


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(-1024, 2000, (4, 5, 6)).astype(np.int16)


def save(path, volume, **values):
    pynrrd.write(str(path), volume.transpose(2, 1, 0), header(**values))
    return path


def refused(code, path):
    with pytest.raises(ProbsegError) as caught:
        ours.read(path)
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_every_encoding_gives_the_same_volume(tmp_path, volume, encoding):
    array, geometry, stored = read_image(save(tmp_path / "a.nrrd", volume, encoding=encoding))
    assert_array_equal(array, volume)
    assert array.dtype == np.int16
    assert_allclose(geometry.spacing, SPACING)
    assert (geometry.origin, geometry.direction) == (ORIGIN, ((0, 0, 1), (0, 1, 0), (1, 0, 0)))
    assert stored == geometry


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
    ],
)
def test_the_same_anatomy_in_every_space(tmp_path, volume, space, signs):
    directions = np.diag(SPACING[::-1]) * signs
    path = save(
        tmp_path / "a.nrrd",
        volume,
        **{"space": space, "space directions": directions, "space origin": np.array(ORIGIN) * signs},
    )
    array, geometry, _ = read_image(path)
    assert_array_equal(array, volume)
    assert geometry.origin == ORIGIN


def test_sagittal_storage_is_turned_to_canonical_axes(tmp_path, volume):
    # Fastest towards superior, then towards anterior, slowest towards right; the first voxel is canonical (0, -1, -1).
    turned = volume[:, ::-1, ::-1].transpose(2, 1, 0)
    directions = np.array([[0, 0, SPACING[0]], [0, -SPACING[1], 0], [-SPACING[2], 0, 0]])
    origin = np.add(ORIGIN, (5 * SPACING[2], 4 * SPACING[1], 0))
    path = save(tmp_path / "a.nrrd", turned, **{"space directions": directions, "space origin": origin})
    array, geometry, _ = read_image(path)
    assert_array_equal(array, volume)
    assert_allclose(geometry.origin, ORIGIN)
    assert_allclose(geometry.spacing, SPACING)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_every_type_keeps_its_values(tmp_path, kind):
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    array, _ = ours.read(save(tmp_path / "a.nrrd", values))
    assert array.dtype == kind
    assert_array_equal(array, values)


def test_big_endian_voxels(tmp_path, volume):
    raw = save(tmp_path / "a.nrrd", volume, encoding="raw").read_bytes()
    head = raw[: raw.index(b"\n\n") + 2]
    path = tmp_path / "b.nrrd"
    path.write_bytes(head.replace(b"endian: little", b"endian: big") + volume.astype(">i2").tobytes())
    assert_array_equal(read_image(path)[0], volume)


def test_an_axis_of_one_channel_is_dropped_and_of_two_is_refused(tmp_path, volume):
    directions = np.vstack([np.full(3, np.nan), np.diag(SPACING[::-1])])
    values = header(**{"space directions": directions, "kinds": ["vector", "domain", "domain", "domain"]})
    pynrrd.write(str(tmp_path / "one.nrrd"), volume.transpose(2, 1, 0)[None], values)
    assert_array_equal(read_image(tmp_path / "one.nrrd")[0], volume)
    two = np.stack([volume.transpose(2, 1, 0)] * 2)
    pynrrd.write(str(tmp_path / "two.nrrd"), two, header(**{"space directions": directions, "kinds": values["kinds"]}))
    assert "2 layers" in refused("E_NDIM", tmp_path / "two.nrrd")


def test_a_label_map_is_a_mask_that_is_turned_to_its_image(tmp_path, volume):
    _, geometry, _ = read_image(save(tmp_path / "image.nrrd", volume))
    labels = (volume > 0).astype(np.uint8) * 3
    flipped = np.diag(SPACING[::-1]) * [-1, 1, 1]
    origin = np.add(ORIGIN, (5 * SPACING[2], 0, 0))
    path = save(tmp_path / "m.nrrd", labels[:, :, ::-1], **{"space directions": flipped, "space origin": origin})
    mask = read_mask(path, geometry, "the mask")
    assert_array_equal(mask, labels)
    save(path, labels, **{"space origin": np.add(ORIGIN, (0, 0, 1.0))})
    with pytest.raises(ProbsegError, match="E_AFFINE_MISMATCH"):
        read_mask(path, geometry, "the mask")


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("E_NO_ORIENTATION", lambda h: h.replace(b"space: left-posterior-superior\n", b"space dimension: 3\n")),
        ("E_NO_ORIENTATION", lambda h: h.replace(b"left-posterior-superior", b"scanner-xyz")),
        ("E_NO_ORIENTATION", lambda h: re.sub(rb"space origin: .*\n", b"", h)),
        ("E_BAD_AFFINE", lambda h: h.replace(b"(0,0.75,0)", b"(0,0,0)")),
        ("E_GANTRY_TILT", lambda h: h.replace(b"(0,0.75,0)", b"(0,0.75,0.2)")),
        ("E_DTYPE", lambda h: h.replace(b"type: int16", b"type: block").replace(b"type: short", b"type: block")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"endian: little\n", b"")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"encoding: raw", b"encoding: hex")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: 6 5 0")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: six")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"sizes: 6 5 4\n", b"")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"encoding: raw", b"encoding: raw\ndata file: ../secret")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"encoding: raw", b"encoding: raw\nbyte skip: 7")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"NRRD000", b"NRXD000")),
        ("E_NRRD_HEADER", lambda h: h.replace(b"encoding: raw", b"encoding: raw\nencoding: raw")),
        ("E_BAD_SPACING", lambda h: h.replace(b"encoding: raw", b'encoding: raw\nspace units: "cm" "cm" "cm"')),
        ("E_TRUNCATED", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: 6 5 9")),
        ("E_CORRUPT", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: 6 5 3")),
        ("E_TOO_LARGE", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: 60000 50000 40000")),
        ("E_TOO_LARGE", lambda h: h.replace(b"sizes: 6 5 4", b"sizes: 4000000000 4000000000 4000000000")),
    ],
)
def test_each_fault_of_a_header_has_its_code(tmp_path, volume, code, edit):
    path = save(tmp_path / "a.nrrd", volume, encoding="raw")
    raw = path.read_bytes()
    end = raw.index(b"\n\n") + 1
    assert edit(raw[:end]) != raw[:end], "the fault must be in the file"
    path.write_bytes(edit(raw[:end]) + raw[end:])
    assert "secret" not in refused(code, path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_a_file_cut_anywhere_is_an_error(tmp_path, volume, encoding):
    raw = save(tmp_path / "a.nrrd", volume, encoding=encoding).read_bytes()
    path = tmp_path / "cut.nrrd"
    # the last digit of a text may be lost without a trace
    for length in range(1, len(raw) - (4 if encoding == "ascii" else 0), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(ProbsegError, match=r"E_TRUNCATED|E_NRRD_HEADER"):
            ours.read(path)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_a_flipped_bit_of_a_compressed_stream_is_an_error(tmp_path, volume, encoding):
    path = save(tmp_path / "a.nrrd", volume, encoding=encoding)
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 8
    path.write_bytes(bytes(raw))
    with pytest.raises(ProbsegError, match=r"E_CORRUPT|E_TRUNCATED"):
        ours.read(path)


def test_voxels_that_are_nan_are_refused_in_an_image(tmp_path):
    values = np.zeros((2, 3, 4), dtype=np.float32)
    values[1, 1, 1] = np.nan
    with pytest.raises(ProbsegError, match=r"E_NONFINITE.*1 voxels"):
        read_image(save(tmp_path / "a.nrrd", values))


@pytest.mark.oracle
def test_simpleitk_reads_the_same_oblique_volume(tmp_path, volume):
    sitk = pytest.importorskip("SimpleITK")
    a = np.deg2rad(20)
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    image.SetDirection((np.cos(a), -np.sin(a), 0, np.sin(a), np.cos(a), 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    array, geometry = ours.read(tmp_path / "a.nrrd")
    assert_array_equal(array, volume)
    for index in [(0, 0, 0), (3, 4, 5), (1, 2, 0)]:
        assert_allclose(
            (geometry.affine @ [*index, 1])[:3], image.TransformIndexToPhysicalPoint(index[::-1]), atol=1e-9
        )


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_no_damaged_byte_leads_to_a_traceback(tmp_path, volume, damaged, encoding):
    path = save(tmp_path / "a.nrrd", volume, encoding=encoding)
    for broken in damaged(path.read_bytes(), 200):
        path.write_bytes(broken)
        try:
            assert ours.read(path)[0].ndim == 3
        except ProbsegError as error:
            assert error.code.startswith("E_")
