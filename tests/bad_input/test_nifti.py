"""Every NIfTI case: images through ``probseg check FILE``, masks through a dataset of one case."""

from __future__ import annotations

import gzip
import hashlib
import struct

import nibabel as nib
import numpy as np
import pytest
import yaml

from probseg.labels import LabelSet
from probseg.records import DatasetInfo

RAS = np.array([[-0.8, 0, 0, 120], [0, -0.7, 0, 80.5], [0, 0, 2.5, 33.25], [0, 0, 0, 1]])  # an axial CT in RAS
INFO = DatasetInfo("lungs", 3, LabelSet.binary("opacity"), (-1000.0, 400.0))
# offsets in a NIfTI-1 header
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, QFORM_CODE, SROW, MAGIC = 40, 70, 76, 108, 112, 252, 280, 344
NAN = struct.pack("<f", np.nan)


def digest(volume):
    return hashlib.sha256(np.ascontiguousarray(volume, "<i2").tobytes()).hexdigest()


def save(path, array, affine=RAS):
    """By nibabel; the array is (slices, rows, columns)."""
    image = nib.Nifti1Image(array.transpose(*range(array.ndim - 1, -1, -1)), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nib.save(image, path)
    return path


def patched(path, *edits):
    data = bytearray(path.read_bytes())
    for offset, value in edits:
        data[offset : offset + len(value)] = value
    path.write_bytes(bytes(data))
    return path


def with_nan(hu):
    out = hu.astype(np.float32)
    out[3, 2, 1] = np.nan
    return out


# Images ---------------------------------------------------------------------------------------------------------------

SAME = {
    "control": lambda hu: (hu, []),
    "float64": lambda hu: (hu.astype(np.float64), []),
    "trailing axis of one": lambda hu: (hu[None], []),
    "scl_slope NaN": lambda hu: (hu, [(SLOPE, NAN)]),
}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("make", SAME.values(), ids=SAME.keys())
def test_the_same_volume(tmp_path, hu, expect, make, suffix):
    array, edits = make(hu)
    path = patched(save(tmp_path / "a.nii", array), *edits)
    if suffix == ".nii.gz":
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.nii.gz"
    facts = expect(path, "ok").facts
    assert facts["sha256"] == digest(hu)
    assert facts["shape"] == [12, 9, 11]
    assert facts["spacing_mm"] == pytest.approx([2.5, 0.7, 0.8])
    assert facts["origin_lps"] == pytest.approx([-120.0, -80.5, 33.25])


def test_nifti_and_dicom_of_one_volume_are_one(tmp_path, write_series, hu, expect):
    write_series(tmp_path / "s", hu)
    one, other = (expect(p, "ok").facts for p in (tmp_path / "s", save(tmp_path / "a.nii.gz", hu)))
    assert one["sha256"] == other["sha256"]
    for key in ("shape", "spacing_mm", "origin_lps"):
        assert one[key] == pytest.approx(other[key])


IMAGES = {
    "one NaN": ("E_NONFINITE", with_nan, []),
    "all NaN": ("E_NONFINITE", lambda hu: np.full(hu.shape, np.nan, np.float32), []),
    "two volumes": ("E_NDIM", lambda hu: np.stack([hu, hu]), []),
    "two axes": ("E_NDIM", lambda hu: hu[0], []),
    "one slice": ("E_TOO_FEW_SLICES", lambda hu: hu[:1], []),
    "complex": ("E_DTYPE", lambda hu: hu.astype(np.complex64), []),
    "affine of rank 2": ("E_BAD_AFFINE", None, [(SROW + 16 * r, bytes(4)) for r in range(3)]),
    "no orientation": ("E_NO_ORIENTATION", None, [(QFORM_CODE, bytes(4))]),
    "sform against qform": ("E_AFFINE_AMBIGUOUS", None, [(SROW + 12, struct.pack("<f", 150))]),
    "NaN in pixdim and sform": ("E_BAD_SPACING", None, [(PIXDIM + 4, NAN), (SROW, NAN)]),
    "negative dim": ("E_NIFTI_HEADER", None, [(DIM + 2, struct.pack("<h", -11))]),
    "dim nought": ("E_NIFTI_HEADER", None, [(DIM + 4, struct.pack("<h", 0))]),
    "200 axes": ("E_NIFTI_HEADER", None, [(DIM, struct.pack("<h", 200))]),
    "datatype 9999": ("E_NIFTI_HEADER", None, [(DATATYPE, struct.pack("<h", 9999))]),
    "bad magic": ("E_NIFTI_HEADER", None, [(MAGIC, b"abc\0")]),
    "voxels beyond the end": ("E_TRUNCATED", None, [(VOX_OFFSET, struct.pack("<f", 1e6))]),
}


@pytest.mark.filterwarnings("ignore:.*complex.*")
@pytest.mark.parametrize(("code", "make", "edits"), IMAGES.values(), ids=IMAGES.keys())
def test_an_image_that_is_refused(tmp_path, hu, expect, code, make, edits):
    path = patched(save(tmp_path / "a.nii", make(hu) if make else hu), *edits)
    assert str(path) in expect(path, code).text


def test_files_that_are_damaged(tmp_path, hu, expect):
    whole = save(tmp_path / "a.nii.gz", hu).read_bytes()
    (tmp_path / "crc.nii.gz").write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    expect(tmp_path / "crc.nii.gz", "E_CORRUPT")
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(whole))
    expect(tmp_path / "plain.nii.gz", "E_WRONG_EXTENSION")
    (tmp_path / "empty.nii").write_bytes(b"")
    expect(tmp_path / "empty.nii", "E_EMPTY_FILE")
    (tmp_path / "half.nii.gz").write_bytes(whole[: len(whole) // 2])
    expect(tmp_path / "half.nii.gz", "E_TRUNCATED")


def test_a_bomb_is_judged_by_its_header(tmp_path, hu, expect, monkeypatch):
    """The limit stands in for the memory of the machine: 64 MiB of zeros in 64 kB."""
    monkeypatch.setenv("PROBSEG_MAX_BYTES", str(2**20))
    path = save(tmp_path / "a.nii", hu)
    header = patched(path, (DIM + 2, struct.pack("<3h", 512, 512, 128))).read_bytes()[:352]
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(header + bytes(2**26)))
    expect(tmp_path / "bomb.nii.gz", "E_TOO_LARGE")


# Masks ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path, hu):
    """``pair(mask, affine)`` is a dataset of one case and one more rater, who is beyond doubt."""

    def make(mask, affine=RAS, image_affine=RAS):
        root = tmp_path / "d"
        root.mkdir()
        save(root / "ct.nii.gz", hu, image_affine)
        save(root / "mask.nii.gz", mask, affine)
        other = np.zeros(hu.shape, np.uint8)
        other[1, 1, 1] = 1
        save(root / "other.nii.gz", other, image_affine)
        (root / "dataset.yaml").write_text(yaml.safe_dump(INFO.to_dict()))
        rows = [f"c1,p1,here,ct.nii.gz,{r},{f}.nii.gz" for r, f in (("A", "mask"), ("B", "other"))]
        (root / "cases.csv").write_text("\n".join(["case_id,patient_id,site,image,rater,mask", *rows]) + "\n")
        return root

    return make


def drawn(hu):
    mask = np.zeros(hu.shape, np.uint8)
    mask[2:5, 3:6, 1:8] = 1
    return mask


def oblique():
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ RAS


def flipped_in_x():
    """Along columns, the origin at the other end: the same voxels, stored the other way."""
    affine = RAS.copy()
    affine[0, 0], affine[0, 3] = 0.8, 120 - 0.8 * 10
    return affine


def test_a_pair_and_what_is_the_same_pair(pair, hu, expect):
    facts = expect(pair(drawn(hu)), "ok").facts
    assert facts["classes"]["opacity"]["median_ml"] == pytest.approx((63 + 1) / 2 * 2.5 * 0.7 * 0.8 / 1000)


def test_a_mask_stored_the_other_way_round(pair, hu, expect):
    facts = expect(pair(drawn(hu)[:, :, ::-1], flipped_in_x()), "ok").facts
    assert facts["classes"]["opacity"]["readings"] == 2


def test_image_and_mask_share_an_oblique_affine(pair, hu, expect):
    expect(pair(drawn(hu), oblique(), oblique()), "ok")


def test_a_mask_of_exact_reals(pair, hu, expect):
    expect(pair(drawn(hu).astype(np.float64)), "ok")


def elsewhere():
    affine = RAS.copy()
    affine[0, 0] = 0.8
    return affine


MASKS = {
    "affine flipped": ("E_AFFINE_MISMATCH", lambda m, hu: (m, elsewhere())),
    "x and y swapped": ("E_SHAPE_MISMATCH", lambda m, hu: (m.transpose(0, 2, 1), RAS)),
    "half the slices": ("E_SHAPE_MISMATCH", lambda m, hu: (m[::2], RAS * [[1, 1, 2, 1]])),
    "label 7": ("E_UNKNOWN_LABEL", lambda m, hu: (m * 7, RAS)),
    "label -1": ("E_UNKNOWN_LABEL", lambda m, hu: (-m.astype(np.int16), RAS)),
    "NaN": ("E_NONFINITE", lambda m, hu: (np.where(m > 0, np.nan, 0.0), RAS)),
    "fractions": ("E_UNKNOWN_LABEL", lambda m, hu: (m * 0.5, RAS)),
    "the CT itself": ("E_UNKNOWN_LABEL", lambda m, hu: (hu, RAS)),
    "every voxel": ("W_FULL_MASK", lambda m, hu: (np.ones_like(m), RAS)),
}


@pytest.mark.parametrize(("code", "make"), MASKS.values(), ids=MASKS.keys())
def test_a_mask_that_is_refused_or_told(pair, hu, expect, code, make):
    text = expect(pair(*make(drawn(hu), hu)), code).text
    assert "rater 'A' of case 'c1'" in text
