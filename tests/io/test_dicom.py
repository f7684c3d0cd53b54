"""CT series: the controls, each fault with its code, and SimpleITK as oracle."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import read_image
from probseg.io.dicom import read_series

CHEST = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct" / "chest_slice.dcm"


def refused(code: str, path: Path) -> str:
    """The message of the error that reading must raise; it never holds the patient's name."""
    with pytest.raises(ProbsegError) as caught:
        read_image(path)
    assert caught.value.code == code, str(caught.value)
    assert "Canary" not in str(caught.value) and "CANARY" not in str(caught.value)
    return caught.value.message


def set_each(**values):
    """An edit that sets attributes of every slice; None removes."""

    def edit(d, k):
        for name, value in values.items():
            if value is None:
                delattr(d, name)
            else:
                setattr(d, name, value)

    return edit


def set_one(slice_number: int, **values):
    every = set_each(**values)
    return lambda d, k: every(d, k) if k == slice_number else None


# Controls -------------------------------------------------------------------------------------------------------------


def test_an_axial_series_keeps_values_and_lies_where_its_headers_say(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)
    array, geometry, stored = read_image(tmp_path / "s")
    assert_array_equal(array, hu)
    assert array.dtype == np.int16
    assert geometry.shape == hu.shape
    assert_allclose(geometry.spacing, (2.5, 0.7, 0.8))
    assert geometry.origin == (-120.0, -80.5, 33.25)
    assert stored == geometry


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda s: s.name
)
def test_every_uncompressed_transfer_syntax_gives_the_same_volume(tmp_path, write_series, hu, syntax):
    write_series(tmp_path / "s", hu, syntax=syntax)
    assert_array_equal(read_image(tmp_path / "s")[0], hu)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda s: s.name)
def test_lossless_compression_gives_the_same_volume(tmp_path, write_series, hu, syntax):
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    write_series(tmp_path / "s", hu, compress=syntax)
    assert_array_equal(read_image(tmp_path / "s")[0], hu)


HARMLESS = {
    "instance number absent": set_each(InstanceNumber=None),
    "slice location runs backwards": lambda d, k: setattr(d, "SliceLocation", -2.5 * k),
    "jitter of rounding": lambda d, k: d.ImagePositionPatient.__setitem__(2, 33.25 + 2.5 * k + 0.0049 * (-1) ** k),
    "nominal tilt only": set_each(GantryDetectorTilt=15),
    "thickness of overlapping slices": set_each(SliceThickness=5.0, SpacingBetweenSlices=5.0),
    "thickness absent": set_each(SliceThickness=None),
    "feet first": set_each(PatientPosition="FFS"),
    "control characters": set_each(SeriesDescription="\x1b[31mred\n=1+1"),
    "other letters": set_each(SpecificCharacterSet="ISO_IR 192", PatientName="Łukasz^Žofie"),
    "unknown letters": set_each(SpecificCharacterSet="ISO_IR 9999"),
}


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # pydicom, when it writes the series
@pytest.mark.parametrize("edit", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_does_not_matter_changes_nothing(tmp_path, write_series, hu, edit):
    write_series(tmp_path / "s", hu, edit=edit, names="IM{:05d}")
    array, geometry, _ = read_image(tmp_path / "s")
    assert_array_equal(array, hu)
    assert_allclose(geometry.spacing, (2.5, 0.7, 0.8), atol=2e-3)


def test_rows_stored_bottom_up_are_the_same_anatomy(tmp_path, write_series, hu):
    """The last row comes first; the normal then points to the feet, and slices are taken in that order."""

    def edit(d, k):
        d.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        d.ImagePositionPatient[1] = -80.5 + 0.7 * (hu.shape[1] - 1)

    write_series(tmp_path / "up", hu[:, ::-1], edit=edit)
    write_series(tmp_path / "plain", hu)
    array, geometry, stored = read_image(tmp_path / "up")
    plain, wanted, _ = read_image(tmp_path / "plain")
    assert_array_equal(array, plain)
    assert geometry.close_to(wanted)
    assert stored.direction[2][0] == -1.0


def test_rescale_is_that_of_each_slice(tmp_path, write_series, hu):
    def edit(d, k):
        stored = hu[k].astype(np.int32) + 1024 + 10 * k
        d.RescaleIntercept, d.PixelData = -1024 - 10 * k, stored.astype("<u2").tobytes()

    write_series(tmp_path / "s", hu, edit=edit)
    assert_array_equal(read_image(tmp_path / "s")[0], hu)


def test_a_fractional_rescale_gives_float32(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=set_each(RescaleSlope=0.5))
    array = read_image(tmp_path / "s")[0]
    assert array.dtype == np.float32
    assert_array_equal(array, (hu.astype(np.float64) + 1024) * 0.5 - 1024)


def test_values_beyond_int16_are_kept_and_not_wrapped(tmp_path, write_series, hu):
    def edit(d, k):
        d.PixelData = np.full(hu.shape[1:], 60_000, "<u2").tobytes() if k == 4 else d.PixelData

    write_series(tmp_path / "s", hu, edit=edit)
    array = read_image(tmp_path / "s")[0]
    assert array.dtype == np.float32
    assert (array[4] == 60_000 - 1024).all()
    assert_array_equal(array[:4], hu[:4])


def test_a_slope_of_two_and_signed_values(tmp_path, write_series, hu):
    def edit(d, k):
        d.PixelRepresentation, d.RescaleSlope, d.RescaleIntercept = 1, 2, 1
        d.PixelData = (hu[k] // 2).astype("<i2").tobytes()

    write_series(tmp_path / "s", hu, edit=edit)
    assert_array_equal(read_image(tmp_path / "s")[0], hu // 2 * 2 + 1)


def test_padding_becomes_air(tmp_path, write_series, hu):
    """Signed, -2000 stored outside of the field of view: -3024 HU unless padding is known for what it is."""

    def edit(d, k):
        stored = (hu[k] + 1024).astype("<i2")
        stored[:, 0] = -2000
        d.PixelRepresentation, d.PixelData = 1, stored.tobytes()
        d.add_new("PixelPaddingValue", "SS", -2000)

    write_series(tmp_path / "s", hu, edit=edit)
    wanted = hu.copy()
    wanted[:, :, 0] = -1024
    assert_array_equal(read_image(tmp_path / "s")[0], wanted)


def test_a_range_of_padding_becomes_air(tmp_path, write_series, hu):
    def edit(d, k):
        d.add_new("PixelPaddingValue", "US", 0)
        d.add_new("PixelPaddingRangeLimit", "US", 99)

    write_series(tmp_path / "s", hu, edit=edit)
    assert_array_equal(read_image(tmp_path / "s")[0], np.where(hu < -1024 + 100, -1024, hu))


def test_padding_that_needs_more_bits_than_are_stored_hits_no_tissue(tmp_path, write_series, hu):
    """63536 cut down to 12 bits would be 2096, a bone of 1072 HU."""

    def edit(d, k):
        stored = hu[k].astype(np.int32) + 1024
        stored[:, 0], stored[:, 1] = 63536, 2096
        d.BitsStored, d.HighBit, d.PixelData = 12, 11, stored.astype("<u2").tobytes()
        d.add_new("PixelPaddingValue", "US", 63536)

    write_series(tmp_path / "s", hu, edit=edit)
    wanted = hu.copy()
    wanted[:, :, 0], wanted[:, :, 1] = -1024, 1072
    assert_array_equal(read_image(tmp_path / "s")[0], wanted)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_are_not_stored_do_not_count(tmp_path, write_series, hu, signed):
    """12 bits stored, an old overlay in bits 12 to 15."""

    def edit(d, k):
        stored = (hu[k] // 2).astype(np.int32) if signed else hu[k].astype(np.int32) + 1024
        d.BitsStored, d.HighBit, d.PixelRepresentation = 12, 11, int(signed)
        d.RescaleIntercept = 0 if signed else -1024
        d.PixelData = ((stored & 0x0FFF) | 0xA000).astype("<u2").tobytes()

    write_series(tmp_path / "s", hu, edit=edit)
    assert_array_equal(read_image(tmp_path / "s")[0], hu // 2 if signed else hu)


def test_a_preamble_that_looks_like_a_program_is_only_skipped(tmp_path, write_series, hu):
    for path in write_series(tmp_path / "s", hu):
        data = bytearray(path.read_bytes())
        data[:2] = b"MZ"
        path.write_bytes(bytes(data))
    assert_array_equal(read_image(tmp_path / "s")[0], hu)


def test_a_folder_name_may_hold_a_line_break(tmp_path, write_series, hu):
    write_series(tmp_path / "a folder\nof two lines", hu)
    assert_array_equal(read_image(tmp_path / "a folder\nof two lines")[0], hu)


# Faults of the series -------------------------------------------------------------------------------------------------


def test_a_missing_slice_is_named_with_both_distances(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)[3].unlink()
    message = refused("E_SLICE_GAP", tmp_path / "s")
    assert "5.000 mm" in message and "2.500 mm" in message


def test_an_exact_copy_counts_once_with_a_warning(tmp_path, write_series, hu):
    paths = write_series(tmp_path / "s", hu)
    (tmp_path / "s" / "copy.dcm").write_bytes(paths[2].read_bytes())
    with pytest.warns(ProbsegWarning, match="W_DUPLICATE_SLICE"):
        array = read_image(tmp_path / "s")[0]
    assert_array_equal(array, hu)


def test_two_acquisitions_in_one_series(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=set_each(AcquisitionNumber=1))
    series = pydicom.dcmread(next((tmp_path / "s").iterdir())).SeriesInstanceUID
    other = set_each(AcquisitionNumber=2, SeriesInstanceUID=series)
    write_series(tmp_path / "s", hu + 5, edit=other, names="b{}", prefix="b")
    refused("E_MULTIPLE_VOLUMES", tmp_path / "s")


def test_two_acquisitions_whose_slices_interleave(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=set_each(AcquisitionNumber=1))
    series = pydicom.dcmread(next((tmp_path / "s").iterdir())).SeriesInstanceUID
    other = set_each(AcquisitionNumber=2, SeriesInstanceUID=series)
    write_series(tmp_path / "s", hu, edit=other, names="b{}", prefix="b", origin=(-120.0, -80.5, 33.95))
    refused("E_MULTIPLE_VOLUMES", tmp_path / "s")


def test_two_series_are_named_by_short_names_that_choose_one(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)
    write_series(tmp_path / "s", hu[:4] + 1, names="b{}", prefix="b")
    message = refused("E_MULTIPLE_SERIES", tmp_path / "s")
    assert "1.2.826" not in message
    names = {part.split()[-2]: int(part.split()[-1].strip("(")) for part in message.split(" slices)")[:2]}
    found = {name: len(read_image(tmp_path / "s", series=name)[0]) for name in names}
    assert found == names and sorted(names.values()) == [4, 6]
    with pytest.raises(ProbsegError, match="no series called"):
        read_image(tmp_path / "s", series="nosuch")


def test_gantry_tilt_names_the_angle(tmp_path, write_series, hu):
    shear = 2.5 * np.tan(np.radians(15))
    edit = lambda d, k: d.ImagePositionPatient.__setitem__(1, round(-80.5 + k * shear, 6))  # noqa: E731
    write_series(tmp_path / "s", hu, edit=edit)
    assert "15.0 degrees" in refused("E_GANTRY_TILT", tmp_path / "s")


def test_one_slice_shifted_sideways(tmp_path, write_series, hu):
    edit = lambda d, k: d.ImagePositionPatient.__setitem__(0, -120 + 7 * (k == 2))  # noqa: E731
    write_series(tmp_path / "s", hu, edit=edit)
    refused("E_MIXED_GEOMETRY", tmp_path / "s")


SERIES_FAULTS = {
    "localizer": ("E_MIXED_ORIENTATION", set_one(2, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])),
    "frame of reference": ("E_MIXED_GEOMETRY", set_one(2, FrameOfReferenceUID="1.2.3")),
    "pixel spacing differs": ("E_MIXED_GEOMETRY", set_one(2, PixelSpacing=[0.7, 0.9])),
    "no spacing": ("E_NO_SPACING", set_each(PixelSpacing=None)),
    "spacing nought": ("E_BAD_SPACING", set_each(PixelSpacing=[0, 0])),
    "no rescale": ("E_NO_RESCALE", set_each(RescaleSlope=None, RescaleIntercept=None)),
    "slope nought": ("E_NO_RESCALE", set_each(RescaleSlope=0)),
    "not HU": ("E_NOT_HU", set_each(RescaleType="US")),
    "colour": ("E_NOT_HU", set_each(SamplesPerPixel=3, PhotometricInterpretation="RGB")),
    "MR": ("E_MODALITY", set_each(Modality="MR")),
    "no modality and no CT": ("E_MODALITY", set_each(Modality=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.4")),
    "no position": ("E_NO_ORIENTATION", set_each(ImagePositionPatient=None)),
    "axes not perpendicular": ("E_BAD_AFFINE", set_each(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0])),
    "no pixels": ("E_NO_PIXELDATA", set_one(3, PixelData=None)),
    "too many rows": ("E_DICOM_TRUNCATED", set_one(3, Rows=65535, Columns=65535)),
    "too many frames": ("E_DICOM_TRUNCATED", set_one(3, NumberOfFrames=2**31 - 1)),
    "no rows": ("E_DICOM_CORRUPT", set_one(3, Rows=0)),
    "more bits than allocated": ("E_DICOM_CORRUPT", set_one(3, BitsStored=17)),
}


@pytest.mark.parametrize(("code", "edit"), SERIES_FAULTS.values(), ids=SERIES_FAULTS.keys())
def test_each_fault_of_a_header_has_its_code(tmp_path, write_series, hu, code, edit):
    write_series(tmp_path / "s", hu, edit=edit)
    refused(code, tmp_path / "s")


def test_one_slice_is_no_volume_but_an_image(tmp_path, write_series, hu):
    (path,) = write_series(tmp_path / "s", hu[:1])
    refused("E_TOO_FEW_SLICES", tmp_path / "s")
    for source in (path, tmp_path / "s"):
        array, geometry, _ = read_image(source, dimensions=2)
        assert_array_equal(array, hu[0])
        assert (geometry.spacing, geometry.slice_thickness_mm) == ((0.7, 0.8), 2.5)


def test_monochrome1_is_only_a_way_to_show(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=set_each(PhotometricInterpretation="MONOCHROME1"))
    with pytest.warns(ProbsegWarning, match="W_MONOCHROME1"):
        assert_array_equal(read_image(tmp_path / "s")[0], hu)


def test_trailing_bytes_are_left_out_with_a_warning(tmp_path, write_series, hu):
    edit = lambda d, k: setattr(d, "PixelData", d.PixelData + bytes(512)) if k == 1 else None  # noqa: E731
    write_series(tmp_path / "s", hu, edit=edit)
    with pytest.warns(ProbsegWarning, match="W_PIXELDATA_PADDING: 1 of 6"):
        assert_array_equal(read_image(tmp_path / "s")[0], hu)


def test_a_missing_modality_is_taken_from_the_class(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=set_each(Modality=None))
    with pytest.warns(ProbsegWarning, match="W_MODALITY_MISSING"):
        assert_array_equal(read_image(tmp_path / "s")[0], hu)


# Faults of the files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implicit", [False, True])
def test_a_file_cut_anywhere_is_an_error(tmp_path, write_series, hu, implicit):
    """Inside the pixels it is truncated; before them it is that, or has no image left, but never a volume."""
    syntax = {"syntax": ImplicitVRLittleEndian} if implicit else {}
    path = write_series(tmp_path / "s", hu, **syntax)[2]
    data = path.read_bytes()
    pixels = len(data) - hu[0].nbytes
    for cut in (len(data) - 1, pixels + 5, pixels + 1):
        path.write_bytes(data[:cut])
        refused("E_DICOM_TRUNCATED", tmp_path / "s")
    codes = set()
    for cut in range(200, pixels, 7):
        path.write_bytes(data[:cut])
        try:
            with pytest.raises(ProbsegError) as caught:
                read_image(path)
        except pytest.fail.Exception:
            pytest.fail(f"a file cut at byte {cut} was read")
        codes.add(caught.value.code)
    assert codes <= {"E_DICOM_TRUNCATED", "E_NO_PIXELDATA", "E_NO_DICOM"}
    assert "E_DICOM_TRUNCATED" in codes


def test_a_deflated_data_set_that_is_cut_damaged_or_a_bomb(tmp_path, write_series, hu, monkeypatch):
    bomb = lambda d, k: d.add_new(0x00091001, "OB", bytes(5 * 10**6)) if k == 2 else None  # noqa: E731
    path = write_series(tmp_path / "s", hu, syntax=DeflatedExplicitVRLittleEndian, edit=bomb)[2]
    assert_array_equal(read_image(tmp_path / "s")[0], hu)
    monkeypatch.setenv("PROBSEG_MAX_BYTES", "3000000")
    refused("E_TOO_LARGE", tmp_path / "s")
    monkeypatch.delenv("PROBSEG_MAX_BYTES")
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    refused("E_DICOM_TRUNCATED", tmp_path / "s")
    start = 144 + struct.unpack_from("<L", data, 140)[0]
    path.write_bytes(data[:start] + b"\x07" + data[start + 1 :])  # a block of a kind that does not exist
    refused("E_DICOM_CORRUPT", tmp_path / "s")


def test_an_empty_file_among_the_slices(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)[3].write_bytes(b"")
    refused("E_EMPTY_FILE", tmp_path / "s")


def test_litter_beside_the_slices_is_skipped_with_one_warning(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)
    for name, content in {"Thumbs.db": b"x" * 999, ".DS_Store": b"", "README.txt": b"read me", "DICOMDIR": b""}.items():
        (tmp_path / "s" / name).write_bytes(content)
    with pytest.warns(ProbsegWarning, match="W_NON_DICOM_SKIPPED") as caught:
        assert_array_equal(read_image(tmp_path / "s")[0], hu)
    assert len(caught) == 1


def test_a_folder_without_dicom(tmp_path):
    refused("E_NO_DICOM", tmp_path)
    (tmp_path / "a").write_bytes(b"not DICOM at all, and longer than a preamble" * 9)
    refused("E_NO_DICOM", tmp_path)
    refused("E_NO_DICOM", tmp_path / "a")


@pytest.mark.parametrize("implicit", [False, True])
def test_data_sets_without_file_meta_are_read_with_a_warning(tmp_path, write_series, hu, implicit):
    syntax = {"syntax": ImplicitVRLittleEndian} if implicit else {}
    for path in write_series(tmp_path / "s", hu, **syntax):
        data = path.read_bytes()
        (group_length,) = struct.unpack_from("<L", data, 140)
        path.write_bytes(data[144 + group_length :])
    with pytest.warns(ProbsegWarning, match="W_NO_FILE_META: 6 of 6"):
        assert_array_equal(read_image(tmp_path / "s")[0], hu)


@pytest.mark.parametrize("defined", [False, True], ids=["undefined lengths", "defined lengths"])
def test_a_sequence_nested_3000_deep_is_refused(tmp_path, write_series, hu, defined):
    (path,) = write_series(tmp_path / "s", hu[:1])
    tag = struct.pack("<HH", 0x0008, 0x1140)
    nest = b""
    for _ in range(3000):
        if defined:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(nest)) + nest
            nest = tag + b"SQ\0\0" + struct.pack("<L", len(item)) + item
        else:
            start = tag + b"SQ\0\0\xff\xff\xff\xff" + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
            nest = start + nest + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    data = path.read_bytes()
    at = data.index(struct.pack("<HH", 0x0010, 0x0010) + b"PN")
    path.write_bytes(data[:at] + nest + data[at:])
    refused("E_DICOM_CORRUPT", tmp_path / "s")


def test_rle_with_200_segments(tmp_path, write_series, hu):
    path = write_series(tmp_path / "s", hu, compress=RLELossless)[2]
    d = pydicom.dcmread(path)
    frame = pydicom.encaps.get_frame(d.PixelData, 0)
    d.PixelData = pydicom.encaps.encapsulate([struct.pack("<L", 200) + frame[4:]])
    d.save_as(path)
    refused("E_DECODE", tmp_path / "s")


def test_a_syntax_without_decoder_names_it_and_the_package(tmp_path, write_series, hu, monkeypatch):
    from probseg.io.dicom import compressed

    class Nothing:
        available_plugins = ()

    monkeypatch.setattr(compressed, "get_decoder", lambda uid: Nothing())
    write_series(tmp_path / "s", hu[:1], compress=RLELossless)
    assert "RLE Lossless" in refused("E_NO_DECODER", tmp_path / "s")


@pytest.mark.parametrize("syntax", [b"j.2.840.10008.1.2.5", b"1.2.840.99999.1.2.5", b"1.02.40.10008.1.2.5"])
def test_a_syntax_that_nobody_knows_is_not_quoted(tmp_path, write_series, hu, syntax):
    path = write_series(tmp_path / "s", hu, compress=RLELossless)[2]
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.5", syntax, 1))
    message = refused("E_NO_DECODER", tmp_path / "s")
    assert "an unknown transfer syntax" in message and syntax.decode() not in message


def test_a_volume_over_the_limit_is_refused(tmp_path, write_series, hu, monkeypatch):
    write_series(tmp_path / "s", hu)
    monkeypatch.setenv("PROBSEG_MAX_BYTES", str(hu.nbytes - 1))
    refused("E_TOO_LARGE", tmp_path / "s")
    monkeypatch.setenv("PROBSEG_MAX_BYTES", str(hu.nbytes))
    assert_array_equal(read_image(tmp_path / "s")[0], hu)
    monkeypatch.setenv("PROBSEG_MAX_BYTES", "much")
    refused("E_SCHEMA", tmp_path / "s")


def test_a_pipe_among_the_slices_does_not_hang(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu)
    os.mkfifo(tmp_path / "s" / "pipe.dcm")
    refused("E_NOT_REGULAR", tmp_path / "s")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_flipped_byte_leads_to_a_traceback(tmp_path, write_series, hu, data):
    """Every damage is either harmless or an error of ours; warnings of pydicom would fail the test as well."""
    syntax = data.draw(st.sampled_from([ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]))
    compress = RLELossless if syntax == RLELossless else None
    folder = tmp_path / syntax
    if not folder.exists():
        write_series(folder, hu[:3], **({"compress": compress} if compress else {"syntax": syntax}))
    path = folder / "slice001.dcm"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(128, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProbsegWarning)
            read_image(folder)
    except ProbsegError as error:
        assert error.message.isprintable()
    finally:
        path.write_bytes(whole)


def test_compressed_pixels_under_an_uncompressed_syntax(tmp_path, write_series, hu):
    path = write_series(tmp_path / "s", hu, compress=RLELossless)[2]
    data = path.read_bytes()
    path.write_bytes(data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0", 1))
    refused("E_DICOM_CORRUPT", tmp_path / "s")


# Enhanced multi-frame -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [range(6), (3, 0, 5, 1, 4, 2)], ids=["in order", "out of order"])
def test_enhanced_frames_are_ordered_by_their_positions(write_enhanced, hu, order):
    array, geometry, _ = read_image(write_enhanced(order))
    assert_array_equal(array, hu)
    assert_allclose(geometry.spacing, (2.5, 0.7, 0.8))


def test_enhanced_compressed_frames(write_enhanced, hu):
    path = write_enhanced((3, 0, 5, 1, 4, 2), lambda d: d.compress(RLELossless))
    assert_array_equal(read_image(path)[0], hu)


ENHANCED_FAULTS = {
    "frames": ("E_DICOM_TRUNCATED", lambda d: setattr(d, "NumberOfFrames", 7)),
    "fewer": ("E_DICOM_CORRUPT", lambda d: d.PerFrameFunctionalGroupsSequence.pop()),
    "gap": (
        "E_SLICE_GAP",
        lambda d: d.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence[0].__setattr__(
            "ImagePositionPatient", [-120, -80.5, 99]
        ),
    ),
    "spacing": ("E_NO_SPACING", lambda d: d.SharedFunctionalGroupsSequence[0].__delattr__("PixelMeasuresSequence")),
    "rescale": (
        "E_NO_RESCALE",
        lambda d: d.SharedFunctionalGroupsSequence[0].__delattr__("PixelValueTransformationSequence"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "edit"), ENHANCED_FAULTS.values(), ids=ENHANCED_FAULTS.keys())
def test_enhanced_faults(write_enhanced, code, edit):
    refused(code, write_enhanced(range(6), edit))


# Oracle and real data -------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_simpleitk_reads_the_same_oblique_series(tmp_path, write_series, hu):
    sitk = pytest.importorskip("SimpleITK")
    turn = np.radians(20)
    across, down = np.array([np.cos(turn), np.sin(turn), 0]), np.array([-np.sin(turn), np.cos(turn), 0])

    def edit(d, k):
        d.ImageOrientationPatient = [float(f"{v:.9f}") for v in (*across, *down)]

    write_series(tmp_path / "s", hu, edit=edit)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    theirs = reader.Execute()
    array, geometry = read_series(tmp_path / "s")
    assert_array_equal(array, sitk.GetArrayFromImage(theirs))
    assert_allclose(geometry.spacing[::-1], theirs.GetSpacing(), rtol=1e-9)
    assert_allclose(geometry.origin, theirs.GetOrigin(), rtol=1e-9)
    assert_allclose(np.array(geometry.direction)[:, ::-1].ravel(), theirs.GetDirection(), atol=1e-6)


@pytest.mark.skipif(not CHEST.exists(), reason="the real chest slice is not beside the checkout (shared/data/ct)")
def test_a_real_slice_is_read_as_pydicom_reads_it():
    with pytest.warns(ProbsegWarning, match="W_MODALITY_MISSING"):
        array, geometry, _ = read_image(CHEST, dimensions=2)
    assert_array_equal(array, pydicom.dcmread(CHEST).pixel_array)
    assert (geometry.shape, geometry.spacing) == ((512, 512), (0.625, 0.625))
