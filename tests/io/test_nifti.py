"""NIfTI: exact round trips in any orientation, each fault with its code, SimpleITK as oracle."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from probseg.case import Geometry, to_canonical
from probseg.errors import ProbsegError
from probseg.io import nifti, read_image, read_mask

RAS = np.array([[-0.75, 0, 0, 100], [0, -0.5, 0, 90], [0, 0, 2.5, -40], [0, 0, 0, 1]])  # an axial CT in RAS
# offsets in a NIfTI-1 header
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, QFORM_CODE, SFORM_CODE, QUATERN, SROW, MAGIC = (
    40, 70, 76, 108, 112, 252, 254, 256, 280, 344)  # fmt: skip


@pytest.fixture
def hu() -> np.ndarray:
    """(slices, rows, columns)."""
    return np.random.default_rng(3).integers(-1024, 2000, (4, 5, 6)).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray = RAS) -> Path:
    """By nibabel; the array is (slices, rows, columns) for an affine of (i, j, k) = (columns, rows, slices)."""
    image = nib.Nifti1Image(array.transpose(*range(array.ndim - 1, -1, -1)), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nib.save(image, path)
    return path


def patch(path: Path, *edits: tuple[int, bytes]) -> Path:
    data = bytearray(path.read_bytes())
    for offset, value in edits:
        data[offset : offset + len(value)] = value
    path.write_bytes(bytes(data))
    return path


def refused(code: str, path: Path) -> str:
    with pytest.raises(ProbsegError) as caught:
        read_image(path)
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


def geometry_of(shape=(4, 5, 6)) -> Geometry:
    return Geometry(shape, (2.5, 0.5, 0.75), (-100.0, -90.0, -40.0))


# Controls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a b\nc.nii"])
def test_an_axial_ct_is_in_canonical_axes_already(tmp_path, hu, name):
    save(tmp_path / "x.nii", hu)
    data = (tmp_path / "x.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    array, geometry, stored = read_image(tmp_path / name)
    assert_array_equal(array, hu)
    assert array.dtype == np.int16
    assert geometry.close_to(geometry_of())
    assert stored == geometry


@pytest.mark.parametrize("affine", [np.diag([0.75, 0.5, 2.5, 1]), np.diag([0.75, -0.5, -2.5, 1])])
def test_a_flipped_volume_is_the_same_anatomy(tmp_path, hu, affine):
    """RAS affine flips x and y of the array; each voxel keeps its place in the patient."""
    affine = affine.astype(float)
    affine[:3, 3] = (1.0, 2.0, 3.0)
    array, geometry, _ = read_image(save(tmp_path / "a.nii", hu, affine))
    k, j, i = 1, 4, 2
    place = np.array([-1, -1, 1]) * (affine @ (i, j, k, 1))[:3]  # LPS
    index = np.linalg.solve(geometry.affine, (*place, 1))[:3]
    assert_allclose(index, index.round(), atol=1e-5)
    assert array[tuple(index.round().astype(int))] == hu[k, j, i]
    assert_allclose(geometry.direction, Geometry((2, 2, 2), (1, 1, 1)).direction, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_become_int16_however_they_are_stored(tmp_path, kind, order):
    values = np.arange(120).reshape(4, 5, 6)
    array = values.transpose(2, 1, 0).astype(np.dtype(kind).newbyteorder(order))
    image = nib.Nifti1Image(array, RAS, header=nib.Nifti1Header(endianness=order), dtype=array.dtype)
    nib.save(image, tmp_path / "a.nii")
    out = read_image(tmp_path / "a.nii")[0]
    assert out.dtype == np.int16
    assert_array_equal(out, values)


def test_nifti2_is_read_too(tmp_path, hu):
    nib.save(nib.Nifti2Image(hu.transpose(2, 1, 0), RAS), tmp_path / "a.nii")
    assert_array_equal(read_image(tmp_path / "a.nii")[0], hu)


def test_fractions_stay_float32_and_large_integers_stay_integers(tmp_path, hu):
    array = read_image(save(tmp_path / "a.nii", hu.astype(np.float64) + 0.25))[0]
    assert array.dtype == np.float32
    assert_array_equal(array, hu + 0.25)
    assert read_image(save(tmp_path / "b.nii", hu.astype(np.int32) + 10**6))[0].dtype == np.int32


def test_slope_and_intercept_are_applied(tmp_path, hu):
    """Stored uint16 with intercept -1024 is the same CT as int16."""
    path = save(tmp_path / "a.nii", (hu.astype(np.int32) + 1024).astype(np.uint16))
    patch(path, (SLOPE, struct.pack("<2f", 1.0, -1024.0)))
    array = read_image(path)[0]
    assert array.dtype == np.int16
    assert_array_equal(array, hu)


@pytest.mark.parametrize("slope", [np.nan, 0.0])
def test_a_slope_that_means_no_scaling(tmp_path, hu, slope):
    path = patch(save(tmp_path / "a.nii", hu), (SLOPE, struct.pack("<2f", slope, 5.0 if slope == 0 else np.nan)))
    assert_array_equal(read_image(path)[0], hu)


def test_a_fourth_axis_of_one_is_no_axis(tmp_path, hu):
    assert_array_equal(read_image(save(tmp_path / "a.nii", hu[None]))[0], hu)


def test_only_qform_or_only_sform_will_do(tmp_path, hu):
    for offset in (QFORM_CODE, SFORM_CODE):
        path = patch(save(tmp_path / "a.nii", hu), (offset, b"\0\0"))
        assert read_image(path)[1].close_to(geometry_of())


def test_one_slice_is_an_image_and_no_volume(tmp_path, hu):
    path = save(tmp_path / "a.nii", hu[:1])
    refused("E_TOO_FEW_SLICES", path)
    array, geometry, _ = read_image(path, dimensions=2)
    assert_array_equal(array, hu[0])
    assert (geometry.spacing, geometry.slice_thickness_mm) == ((0.5, 0.75), 2.5)
    assert_array_equal(read_mask(path, geometry, "the mask"), hu[0])
    with pytest.raises(ProbsegError, match="E_NDIM"):
        read_image(save(tmp_path / "b.nii", hu), dimensions=2)


# Faults of the header -------------------------------------------------------------------------------------------------

NAN = struct.pack("<f", np.nan)
HEADER_FAULTS = {
    "negative dim": ("E_NIFTI_HEADER", [(DIM + 2, struct.pack("<h", -6))]),
    "dim nought": ("E_NIFTI_HEADER", [(DIM + 4, struct.pack("<h", 0))]),
    "200 axes": ("E_NIFTI_HEADER", [(DIM, struct.pack("<h", 200))]),
    "datatype 9999": ("E_NIFTI_HEADER", [(DATATYPE, struct.pack("<h", 9999))]),
    "magic": ("E_NIFTI_HEADER", [(MAGIC, b"abc\0")]),
    "two files": ("E_NIFTI_HEADER", [(MAGIC, b"ni1\0")]),
    "size of header": ("E_NIFTI_HEADER", [(0, struct.pack("<i", 999))]),
    "voxels in header": ("E_NIFTI_HEADER", [(VOX_OFFSET, struct.pack("<f", 100))]),
    "infinite slope": ("E_NIFTI_HEADER", [(SLOPE, struct.pack("<2f", 1.0, np.inf))]),
    "offset beyond the end": ("E_TRUNCATED", [(VOX_OFFSET, struct.pack("<f", 1e6))]),
    "more voxels than bytes": ("E_TRUNCATED", [(DIM + 2, struct.pack("<3h", 32767, 32767, 32767))]),
    "complex": ("E_DTYPE", [(DATATYPE, struct.pack("<hh", 32, 64))]),
    "colour": ("E_DTYPE", [(DATATYPE, struct.pack("<hh", 128, 24))]),
    "no orientation": ("E_NO_ORIENTATION", [(QFORM_CODE, bytes(4))]),
    "NaN spacing": ("E_BAD_SPACING", [(PIXDIM + 4, NAN), (SROW, NAN)]),
    "negative spacing": ("E_BAD_SPACING", [(PIXDIM + 4, struct.pack("<f", -1))]),
    "NaN affine": ("E_BAD_AFFINE", [(SROW, NAN)]),
    "no rotation": ("E_BAD_AFFINE", [(QUATERN, struct.pack("<3f", 5, 5, 5))]),
    "zero column": ("E_BAD_AFFINE", [(SROW + 16 * r, bytes(4)) for r in range(3)]),
    "shifted": ("E_AFFINE_AMBIGUOUS", [(SROW + 12, struct.pack("<f", 130))]),
    "flipped": ("E_AFFINE_AMBIGUOUS", [(SROW, struct.pack("<f", 0.75))]),
    "scaled": ("E_AFFINE_AMBIGUOUS", [(SROW + 40, struct.pack("<f", 5.0))]),
    "sheared": ("E_GANTRY_TILT", [(SROW + 24, struct.pack("<f", 0.67)), (QFORM_CODE, b"\0\0")]),
}  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("code", "edits"), HEADER_FAULTS.values(), ids=HEADER_FAULTS.keys())
def test_each_fault_of_a_header_has_its_code(tmp_path, hu, code, edits, compressed):
    path = patch(save(tmp_path / "a.nii", hu), *edits)
    if compressed:
        path = tmp_path / "b.nii.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    refused(code, path)


@pytest.mark.parametrize("shape", [(5, 6), (2, 4, 5, 6)])
def test_a_volume_has_three_axes(tmp_path, shape):
    refused("E_NDIM", save(tmp_path / "a.nii", np.zeros(shape, np.int16)))


@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (2, 5, 6), (2, 1, 5, 6)])
def test_voxels_alone_may_have_any_axes_and_no_place(tmp_path, shape):
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    path = patch(save(tmp_path / "a.nii", values), (QFORM_CODE, b"\0\0"), (SFORM_CODE, b"\0\0"))
    assert_array_equal(nifti.read_voxels(path), values)


# Faults of the data and the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_cut_anywhere_is_truncated(tmp_path, hu, name):
    data = save(tmp_path / name, hu).read_bytes()
    for cut in (3, 100, len(data) // 2, len(data) - 9, len(data) - 1):
        (tmp_path / name).write_bytes(data[:cut])
        refused("E_TRUNCATED", tmp_path / name)


def test_a_wrong_checksum_is_corrupt(tmp_path, hu):
    path = save(tmp_path / "a.nii.gz", hu)
    patch(path, (path.stat().st_size - 8, b"\0\1\2\3"))
    refused("E_CORRUPT", path)


def test_the_suffix_must_tell_the_truth(tmp_path, hu):
    save(tmp_path / "a.nii", hu).rename(tmp_path / "b.nii.gz")
    refused("E_WRONG_EXTENSION", tmp_path / "b.nii.gz")
    save(tmp_path / "c.nii.gz", hu).rename(tmp_path / "d.nii")
    refused("E_WRONG_EXTENSION", tmp_path / "d.nii")


def test_a_bomb_is_refused_from_its_header(tmp_path, hu, monkeypatch):
    """30 MB of zeros in 30 kB, with a header that says so and a limit of 20 MB."""
    path = save(tmp_path / "a.nii.gz", np.zeros((60, 500, 500), np.int16))
    monkeypatch.setenv("PROBSEG_MAX_BYTES", "20000000")
    monkeypatch.setattr(np, "empty", lambda *a, **k: pytest.fail("allocated before judging"))
    assert "30000000 bytes" in refused("E_TOO_LARGE", path)


def test_bytes_behind_the_voxels_are_limited_too(tmp_path, hu, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(save(tmp_path / "x.nii", hu).read_bytes() + bytes(5 * 10**6)))
    assert_array_equal(read_image(path)[0], hu)
    monkeypatch.setenv("PROBSEG_MAX_BYTES", "3000000")
    refused("E_TOO_LARGE", path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_voxel_that_is_no_number(tmp_path, hu, value):
    array = hu.astype(np.float32)
    array[1, 2, 3] = value
    assert "1 voxels" in refused("E_NONFINITE", save(tmp_path / "a.nii", array))
    with pytest.raises(ProbsegError, match="E_NONFINITE: the mask of rater 'A'"):
        read_mask(tmp_path / "a.nii", geometry_of(), "the mask of rater 'A'")


def test_values_beyond_float32(tmp_path, hu):
    refused("E_NONFINITE", save(tmp_path / "a.nii", hu * 1e300))


def test_what_is_no_file(tmp_path, hu):
    (tmp_path / "image.nii.gz").mkdir()
    refused("E_IS_DIRECTORY", tmp_path / "image.nii.gz")
    (tmp_path / "empty.nii").touch()
    refused("E_EMPTY_FILE", tmp_path / "empty.nii")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    refused("E_NOT_REGULAR", tmp_path / "pipe.nii.gz")
    (tmp_path / "zero.nii").symlink_to("/dev/zero")
    refused("E_NOT_REGULAR", tmp_path / "zero.nii")
    (tmp_path / "loop.nii").symlink_to("pool.nii")
    (tmp_path / "pool.nii").symlink_to("loop.nii")
    (tmp_path / "dangling.nii").symlink_to("nowhere.nii")
    save(tmp_path / "a.nii", hu)
    for name in ("loop.nii", "dangling.nii", "nope.nii.gz", "a.nii/nope.nii.gz", "n" * 300, "nul\0.nii"):
        refused("E_FILE_MISSING", tmp_path / name)


def test_a_choice_of_series_is_not_ignored(tmp_path, hu):
    with pytest.raises(ProbsegError, match="has no series"):
        read_image(save(tmp_path / "a.nii", hu), series="12345678")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3))
def test_no_damaged_header_leads_to_a_traceback(tmp_path, hu, edits):
    path = patch(save(tmp_path / "a.nii", hu), *edits)
    try:
        read_image(path)
    except ProbsegError as error:
        assert error.message.isprintable()


# Masks ----------------------------------------------------------------------------------------------------------------


def test_a_mask_stored_the_other_way_round_lands_on_the_image(tmp_path, hu):
    mask = (hu > 500).astype(np.uint8)
    flipped = RAS.copy()
    flipped[0] = [0.75, 0, 0, 100 - 5 * 0.75]
    path = save(tmp_path / "m.nii", mask[:, :, ::-1], flipped)
    assert_array_equal(read_mask(path, geometry_of(), "the mask"), mask)


def test_image_and_mask_share_an_oblique_affine(tmp_path, hu):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.35), -np.sin(0.35)], [np.sin(0.35), np.cos(0.35)]]
    array, geometry, _ = read_image(save(tmp_path / "a.nii", hu, turn @ RAS))
    assert_array_equal(read_mask(tmp_path / "a.nii", geometry, "the mask"), array)


def test_a_mask_near_45_degrees_follows_its_image(tmp_path, hu):
    """Rounding decides which axis is which for the image; the mask must follow it, not decide anew."""
    square = np.ascontiguousarray(hu[:, :5, :5])

    def turned(angle):
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 2]])
        return nib.affines.from_matvec(matrix)

    array, geometry, _ = read_image(save(tmp_path / "a.nii", square, turned(np.pi / 4 - 1e-6)))
    save(tmp_path / "m.nii", square, turned(np.pi / 4 + 1e-6))
    assert not np.allclose(read_image(tmp_path / "m.nii")[1].direction, geometry.direction, atol=0.1)
    assert_array_equal(read_mask(tmp_path / "m.nii", geometry, "the mask"), array)


MISFITS = {
    "x and y swapped": ("E_SHAPE_MISMATCH", lambda a: a.transpose(0, 2, 1), RAS),
    "half the slices": ("E_SHAPE_MISMATCH", lambda a: a[::2], RAS @ np.diag([1, 1, 2, 1])),
    "affine flipped": ("E_AFFINE_MISMATCH", lambda a: a, np.diag([-1, 1, 1, 1]) @ RAS),
    "shifted by a voxel": ("E_AFFINE_MISMATCH", lambda a: a, nib.affines.from_matvec(np.eye(3), [0.75, 0, 0]) @ RAS),
}  # fmt: skip


@pytest.mark.parametrize(("code", "change", "affine"), MISFITS.values(), ids=MISFITS.keys())
def test_a_mask_on_another_grid_is_refused_by_name(tmp_path, hu, code, change, affine):
    path = save(tmp_path / "m.nii", np.ascontiguousarray(change(hu)), affine)
    with pytest.raises(ProbsegError) as caught:
        read_mask(path, geometry_of(), "the mask of rater 'B'")
    assert caught.value.code == code
    assert caught.value.message.startswith("the mask of rater 'B'") and "m.nii" in caught.value.message


def test_a_mask_is_nifti(tmp_path):
    (tmp_path / "m.png").write_bytes(b"x")
    with pytest.raises(ProbsegError, match="E_WRONG_EXTENSION"):
        read_mask(tmp_path / "m.png", geometry_of(), "the mask")


# Writing --------------------------------------------------------------------------------------------------------------


@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([1.0, -1.0])] * 3),
    st.tuples(*[st.integers(2, 5)] * 3),
    st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64]),
    st.sampled_from(["a.nii", "a.nii.gz"]),
)
def test_what_is_written_in_the_scans_orientation_is_read_back_exactly(
    tmp_path_factory, order, signs, shape, kind, name
):
    """Read, turn to canonical, write back: the array and the affine of the scan, for any signed permutation."""
    path = tmp_path_factory.mktemp("law") / name
    array = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[list(order)] * signs * (2.5, 0.7, 0.8)
    affine[:3, 3] = (0.1, -20.2, 30.3)
    stored = Geometry.from_affine(shape, affine)
    canonical, geometry = to_canonical(array, stored)
    nifti.write(path, canonical, geometry, stored)
    back, found = nifti.read(path)
    assert back.dtype == np.dtype(kind)
    assert_array_equal(back, array)
    assert found.close_to(stored)
    nifti.write(path, canonical, geometry)
    assert_array_equal(to_canonical(*nifti.read(path))[0], canonical)


def test_the_affine_of_the_scan_comes_back_bit_for_bit(tmp_path, hu):
    """Also for an oblique scan with figures that binary fractions cannot hold."""
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.2, 3.0)) @ np.diag([0.7, 0.8, 2.5, 1])
    turn[:3, 3] = (-123.456, 78.9, 1234.5678)
    save(tmp_path / "a.nii", hu, turn)
    array, geometry, stored = read_image(tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", array, geometry, stored)
    a, b = nib.load(tmp_path / "a.nii"), nib.load(tmp_path / "b.nii")
    assert_array_equal(a.affine, b.affine)
    assert_array_equal(a.dataobj, b.dataobj)
    assert (b.header["qform_code"], b.header["sform_code"]) == (1, 1)


def test_a_slight_shear_has_no_quaternion(tmp_path, hu):
    """Half a degree is let pass; a qform would have to leave it out and contradict the sform."""
    sheared = RAS.copy()
    sheared[1, 2] = 2.5 * 0.008
    image = nib.Nifti1Image(hu.transpose(2, 1, 0), sheared)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", *read_image(tmp_path / "a.nii"))
    header = nib.load(tmp_path / "b.nii").header
    assert (header["qform_code"], header["sform_code"]) == (0, 1)
    assert_allclose(nib.load(tmp_path / "b.nii").affine, sheared, atol=1e-6)
    assert_array_equal(read_image(tmp_path / "b.nii")[0], hu)


def test_classes_are_the_fourth_axis_for_everyone(tmp_path):
    array = np.random.default_rng(1).random((4, 5, 6, 3), dtype=np.float32)
    nifti.write(tmp_path / "p.nii.gz", array, geometry_of())
    assert nib.load(tmp_path / "p.nii.gz").shape == (6, 5, 4, 3)
    assert_array_equal(np.asarray(nib.load(tmp_path / "p.nii.gz").dataobj)[1, 2, 3], array[3, 2, 1])
    back, _ = nifti.read(tmp_path / "p.nii.gz", channels=True)
    assert_array_equal(back, array)
    with pytest.raises(ProbsegError, match="E_NDIM"):
        nifti.read(tmp_path / "p.nii.gz")


def test_the_same_array_gives_the_same_bytes_under_any_name(tmp_path, hu):
    nifti.write(tmp_path / "a.nii.gz", hu, geometry_of())
    nifti.write(tmp_path / "b.nii.gz", hu, geometry_of())
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[4:8] == bytes(4)  # time of writing


def test_booleans_become_uint8(tmp_path, hu):
    nifti.write(tmp_path / "a.nii", hu > 0, geometry_of())
    back, _ = nifti.read(tmp_path / "a.nii")
    assert back.dtype == np.uint8
    assert_array_equal(back, hu > 0)


def test_what_cannot_be_written_leaves_nothing(tmp_path, hu):
    def refuse(code, name, array, geometry, stored=None):
        with pytest.raises(ProbsegError, match=code):
            nifti.write(tmp_path / name, array, geometry, stored)

    refuse("E_WRONG_EXTENSION", "a.img", hu, geometry_of())
    refuse("E_SHAPE_MISMATCH", "a.nii", hu[:2], geometry_of())
    refuse("E_AFFINE_MISMATCH", "a.nii", hu, geometry_of(), Geometry((4, 5, 6), (2.5, 0.5, 0.75)))
    refuse("E_DTYPE", "a.nii", hu.astype(np.float16), geometry_of())
    refuse("E_TOO_LARGE", "a.nii", np.zeros((40_000, 1, 1), np.uint8), geometry_of((40_000, 1, 1)))
    assert list(tmp_path.iterdir()) == []


# Oracle ---------------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("angle", [0.0, 0.35])
def test_simpleitk_reads_what_we_write_and_we_what_it_writes(tmp_path, hu, angle):
    sitk = pytest.importorskip("SimpleITK")
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.75, 0.5, 2.5))
    image.SetOrigin((-100.25, -90.5, 40.125))
    image.SetDirection(turn.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "theirs.nii.gz"))
    array, stored = nifti.read(tmp_path / "theirs.nii.gz")
    assert_array_equal(array, hu)
    assert_allclose(stored.spacing[::-1], image.GetSpacing(), rtol=1e-6)
    assert_allclose(stored.origin, image.GetOrigin(), rtol=1e-6)
    assert_allclose(np.array(stored.direction)[:, ::-1].ravel(), image.GetDirection(), atol=1e-6)
    nifti.write(tmp_path / "ours.nii.gz", array, stored)
    back = sitk.ReadImage(str(tmp_path / "ours.nii.gz"))
    assert_array_equal(sitk.GetArrayFromImage(back), hu)
    assert_allclose(back.GetOrigin(), image.GetOrigin(), rtol=1e-6)
    assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-6)
    assert_allclose(back.GetSpacing(), image.GetSpacing(), rtol=1e-6)
