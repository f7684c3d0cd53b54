"""Every DICOM case: ``probseg check`` gives the right volume, one warning, or one line of error."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

PLACE = {"shape": [12, 9, 11], "spacing_mm": [2.5, 0.7, 0.8], "origin_lps": [-120.0, -80.5, 33.25]}


def digest(volume):
    return hashlib.sha256(np.ascontiguousarray(volume, "<i2").tobytes()).hexdigest()


def each(**values):
    """An edit that sets attributes of every slice; None removes."""

    def edit(d, k):
        for name, value in values.items():
            if value is None:
                delattr(d, name)
            else:
                setattr(d, name, value)

    return edit


def one(k, **values):
    every = each(**values)
    return lambda d, i: every(d, i) if i == k else None


def move(axis, how):
    """Shift slice k by ``how(k)`` mm."""
    return lambda d, k: d.ImagePositionPatient.__setitem__(axis, float(d.ImagePositionPatient[axis]) + how(k))


# The same volume, however it is stored --------------------------------------------------------------------------------

SAME = {
    "control": {},
    "implicit VR": {"syntax": ImplicitVRLittleEndian},
    "big endian": {"syntax": ExplicitVRBigEndian},
    "deflated": {"syntax": DeflatedExplicitVRLittleEndian},
    "RLE lossless": {"compress": RLELossless},
    "no extension": {"names": "IM{:05d}"},
    "slice location of the other sign": {"edit": lambda d, k: setattr(d, "SliceLocation", -33.25 - 2.5 * k)},
    "instance number absent": {"edit": each(InstanceNumber=None)},
    "rounding jitter": {"edit": move(2, lambda k: 0.0049 * (-1) ** k)},
    "nominal tilt": {"edit": each(GantryDetectorTilt=15)},
    "overlapping slices": {"edit": each(SliceThickness=5.0, SpacingBetweenSlices=5.0)},
    "thickness absent": {"edit": each(SliceThickness=None)},
    "feet first": {"edit": each(PatientPosition="FFS")},
    "control characters": {
        "edit": each(SeriesDescription="\x1b[31mCanary\n=1+1", StudyDescription="@SUM(Canary)", ImageComments="Canary")
    },
    "other letters": {"edit": each(SpecificCharacterSet="ISO_IR 192", PatientName="Cänary^Žofie", PatientID="4711-Ł")},
    "unknown letters": {"edit": each(SpecificCharacterSet="ISO_IR 9999")},
}


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # pydicom, when it writes the series
@pytest.mark.parametrize("how", SAME.values(), ids=SAME.keys())
def test_the_same_volume_however_it_is_stored(tmp_path, write_series, hu, expect, how):
    write_series(tmp_path / "s", hu, **how)
    facts = expect(tmp_path / "s", "ok").facts
    assert facts["sha256"] == digest(hu)
    assert (facts["hu_min"], facts["hu_max"]) == (hu.min(), hu.max())
    for key, value in PLACE.items():
        assert facts[key] == pytest.approx(value, abs=6e-3), key
    assert np.array(facts["direction"]) == pytest.approx(np.eye(3)[::-1])


def test_rows_stored_bottom_up(tmp_path, write_series, hu, expect):
    def edit(d, k):
        d.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        d.ImagePositionPatient[1] = -80.5 + 0.7 * 8

    write_series(tmp_path / "s", hu[:, ::-1], edit=edit)
    facts = expect(tmp_path / "s", "ok").facts
    assert facts["sha256"] == digest(hu)
    assert facts["origin_lps"] == pytest.approx(PLACE["origin_lps"])


def test_the_intercept_differs_by_slice(tmp_path, write_series, hu, expect):
    """Slice k is stored k higher and its intercept is k lower; HU are the same."""

    def edit(d, k):
        stored = np.frombuffer(d.PixelData, "<u2").astype(np.int32) + k
        d.PixelData, d.RescaleIntercept = stored.astype("<u2").tobytes(), -1024 - k

    write_series(tmp_path / "s", hu, edit=edit)
    assert expect(tmp_path / "s", "ok").facts["sha256"] == digest(hu)


def test_padding_is_air(tmp_path, write_series, hu, expect):
    """Stored -2000 with intercept -1024 would be -3024 HU outside of the field of view."""
    volume = np.clip(hu, 0, None)
    padded = volume.copy()
    padded[:, :2, :3] = -1024

    def edit(d, k):
        stored = volume[k].astype("<i2") + np.int16(1024)
        stored[:2, :3] = -2000
        d.PixelRepresentation, d.PixelData = 1, stored.tobytes()
        d.add_new(0x00280120, "SS", -2000)

    write_series(tmp_path / "s", volume, edit=edit)
    facts = expect(tmp_path / "s", "ok").facts
    assert (facts["sha256"], facts["hu_min"]) == (digest(padded), -1024)


def test_old_overlays_in_the_upper_bits(tmp_path, write_series, hu, expect):
    def edit(d, k):
        d.BitsStored, d.HighBit = 12, 11
        stored = np.frombuffer(d.PixelData, "<u2").copy()
        stored[::3] |= 0xF000
        d.PixelData = stored.tobytes()

    write_series(tmp_path / "s", hu, edit=edit)
    assert expect(tmp_path / "s", "ok").facts["sha256"] == digest(hu)


def test_a_preamble_like_a_program(tmp_path, write_series, hu, expect):
    for path in write_series(tmp_path / "s", hu):
        data = path.read_bytes()
        path.write_bytes((b"MZ" + b"\x90" * 126)[:128] + data[128:])
    assert expect(tmp_path / "s", "ok").facts["sha256"] == digest(hu)


@pytest.mark.parametrize("order", [range(12), (3, 0, 11, 5, 1, 4, 2, 10, 6, 9, 7, 8)], ids=["in order", "shuffled"])
def test_enhanced_multi_frame(tmp_path, write_series, hu, expect, order):
    (path,) = write_series(tmp_path / "single", hu[:1])
    d = pydicom.dcmread(path)
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    moved = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
    for name in (*moved, "RescaleType", "SliceThickness"):
        delattr(d, name)
    shared, orientation, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.8], 2.5
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([values])
    frames = []
    for k in order:
        frame, plane = Dataset(), Dataset()
        plane.ImagePositionPatient = [-120.0, -80.5, 33.25 + 2.5 * k]
        frame.PlanePositionSequence = Sequence([plane])
        frames.append(frame)
    d.SharedFunctionalGroupsSequence, d.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    d.NumberOfFrames = len(frames)
    d.PixelData = (hu[list(order)].astype(np.int32) + 1024).astype("<u2").tobytes()
    d.save_as(tmp_path / "enhanced.dcm")
    assert expect(tmp_path / "enhanced.dcm", "ok").facts["sha256"] == digest(hu)


# The right volume and a warning ---------------------------------------------------------------------------------------


def copy_a_slice(paths):
    shutil.copyfile(paths[5], paths[5].parent / "copy.dcm")


def litter(paths):
    for name, content in {"Thumbs.db": b"x" * 999, ".DS_Store": b"", "README.txt": b"Canary", "DICOMDIR": b""}.items():
        (paths[0].parent / name).write_bytes(content)


def strip_meta(paths):
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[144 + struct.unpack_from("<L", data, 140)[0] :])


def trail(d, k):
    d.PixelData += b"\0" * 512


WARNED = {
    "the same instance twice": ("W_DUPLICATE_SLICE", None, copy_a_slice),
    "MONOCHROME1": ("W_MONOCHROME1", each(PhotometricInterpretation="MONOCHROME1"), None),
    "512 trailing bytes": ("W_PIXELDATA_PADDING", trail, None),
    "litter beside the slices": ("W_NON_DICOM_SKIPPED", None, litter),
    "no preamble and no file meta": ("W_NO_FILE_META", None, strip_meta),
    "no modality": ("W_MODALITY_MISSING", each(Modality=None), None),
}


@pytest.mark.parametrize(("code", "edit", "then"), WARNED.values(), ids=WARNED.keys())
def test_the_right_volume_and_one_warning(tmp_path, write_series, hu, expect, code, edit, then):
    paths = write_series(tmp_path / "s", hu, edit=edit)
    if then:
        then(paths)
    outcome = expect(tmp_path / "s", code)
    assert outcome.warnings == (code,)
    assert outcome.facts["sha256"] == digest(hu)


# Errors ---------------------------------------------------------------------------------------------------------------


def cut(offset):
    """Cut one file ``offset`` bytes after its start, or before its end where negative."""

    def then(paths):
        data = paths[4].read_bytes()
        paths[4].write_bytes(data[:offset])

    return then


def broken_rle(paths):
    d = pydicom.dcmread(paths[4])
    d.compress(RLELossless, generate_instance_uid=False)
    frame = pydicom.encaps.get_frame(d.PixelData, 0)
    d.PixelData = pydicom.encaps.encapsulate([struct.pack("<L", 200) + frame[4:]])
    d.save_as(paths[4])


def nested(paths):
    """A sequence 3000 deep, in a series of one slice."""
    tag, nest = struct.pack("<HH", 0x0008, 0x1140), b""
    for _ in range(3000):
        nest = (
            tag + b"SQ\0\0\xff\xff\xff\xff" + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + nest
            + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        )  # fmt: skip
    data = paths[0].read_bytes()
    at = data.index(struct.pack("<HH", 0x0010, 0x0010) + b"PN")
    paths[0].write_bytes(data[:at] + nest + data[at:])
    for path in paths[1:]:
        path.unlink()


SHEAR = 2.5 * np.tan(np.radians(15))
WRONG = {
    "a missing slice": ("E_SLICE_GAP", None, lambda p: p[6].unlink()),
    "gantry tilt": ("E_GANTRY_TILT", move(1, lambda k: round(k * SHEAR, 6)), None),
    "a localizer": ("E_MIXED_ORIENTATION", one(5, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), None),
    "another frame of reference": ("E_MIXED_GEOMETRY", one(5, FrameOfReferenceUID="1.2.4711"), None),
    "no pixel spacing": ("E_NO_SPACING", each(PixelSpacing=None), None),
    "pixel spacing nought": ("E_BAD_SPACING", each(PixelSpacing=[0, 0]), None),
    "one slice": ("E_TOO_FEW_SLICES", None, lambda p: [path.unlink() for path in p[1:]]),
    "no rescale": ("E_NO_RESCALE", each(RescaleSlope=None, RescaleIntercept=None), None),
    "RescaleType US": ("E_NOT_HU", each(RescaleType="US"), None),
    "MR": ("E_MODALITY", each(Modality="MR"), None),
    "cut inside the pixels": ("E_DICOM_TRUNCATED", None, cut(-60)),
    "cut inside the header": ("E_DICOM_TRUNCATED", None, cut(500)),
    "no pixels": ("E_NO_PIXELDATA", one(4, PixelData=None), None),
    "65535 rows and columns": ("E_DICOM_TRUNCATED", one(4, Rows=65535, Columns=65535), None),
    "2^31 - 1 frames": ("E_DICOM_TRUNCATED", one(4, NumberOfFrames=2**31 - 1), None),
    "nested 3000 deep": ("E_DICOM_CORRUPT", None, nested),
    "an empty file": ("E_EMPTY_FILE", None, lambda p: p[4].write_bytes(b"")),
    "200 RLE segments": ("E_DECODE", None, broken_rle),
    "a pipe among the slices": ("E_NOT_REGULAR", None, lambda p: os.mkfifo(p[0].parent / "pipe.dcm")),
}


@pytest.mark.parametrize(("code", "edit", "then"), WRONG.values(), ids=WRONG.keys())
def test_one_line_of_error(tmp_path, write_series, hu, expect, code, edit, then):
    paths = write_series(tmp_path / "s", hu, edit=edit)
    if then:
        then(paths)
    assert str(tmp_path / "s") in expect(tmp_path / "s", code).text


def test_the_gap_is_told_in_millimetres(tmp_path, write_series, hu, expect):
    write_series(tmp_path / "s", hu)[6].unlink()
    text = expect(tmp_path / "s", "E_SLICE_GAP").text
    assert "5.000 mm" in text and "2.500 mm" in text


def test_two_acquisitions_under_one_series(tmp_path, write_series, hu, expect):
    (first, *_) = write_series(tmp_path / "s", hu, edit=each(AcquisitionNumber=1))
    series = pydicom.dcmread(first).SeriesInstanceUID
    again = each(AcquisitionNumber=2, SeriesInstanceUID=series)
    write_series(tmp_path / "s", hu + 5, edit=again, names="b{}", prefix="b")
    expect(tmp_path / "s", "E_MULTIPLE_VOLUMES")


def test_two_series_are_named_and_one_can_be_chosen(tmp_path, write_series, hu, expect):
    write_series(tmp_path / "s", hu)
    write_series(tmp_path / "s", hu[:7] + 1, names="b{}", prefix="b")
    text = expect(tmp_path / "s", "E_MULTIPLE_SERIES").text
    uids = {str(pydicom.dcmread(p).SeriesInstanceUID) for p in (tmp_path / "s").iterdir()}
    names = [hashlib.sha256(uid.encode()).hexdigest()[:8] for uid in uids]
    assert all(name in text for name in names) and not any(uid in text for uid in uids)
    found = {expect(tmp_path / "s", "ok", "--series", name).facts["sha256"] for name in names}
    assert found == {digest(hu), digest(hu[:7] + 1)}
    expect(tmp_path / "s", "E_SCHEMA", "--series", "nosuch")


def test_jpeg_2000_needs_a_decoder_by_name(tmp_path, write_series, hu, expect, monkeypatch):
    """With the decoder a slice alone is too few; without, the syntax and the package are named."""
    from pydicom.data import get_testdata_file

    name = get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)
    if name is None:
        pytest.skip("this pydicom comes without its test files")
    folder = tmp_path / "s"
    folder.mkdir()
    shutil.copyfile(name, folder / "a.dcm")
    pytest.importorskip("openjpeg")
    expect(folder, "E_TOO_FEW_SLICES")
    facts = expect(folder, "ok W_DECODER", "--dimensions", "2").facts
    assert (facts["hu_min"], facts["hu_max"]) == (-2000, 1896)
    from probseg.io.dicom import compressed

    class Nothing:
        available_plugins = ()

    monkeypatch.setattr(compressed, "get_decoder", lambda uid: Nothing())
    text = expect(folder, "E_NO_DECODER").text
    assert "JPEG 2000" in text and "pylibjpeg-openjpeg" in text


def test_an_uncompressed_series_in_pieces_of_every_syntax_is_one_volume(tmp_path, write_series, hu, expect):
    """Slices of one series stored in three ways."""
    for k, syntax in enumerate((ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)):
        write_series(tmp_path / str(k), hu, syntax=syntax)
    (tmp_path / "s").mkdir()
    for k in range(12):
        shutil.copyfile(tmp_path / str(k % 3) / f"slice{k:03d}.dcm", tmp_path / "s" / f"{k}.dcm")
    assert expect(tmp_path / "s", "ok").facts["sha256"] == digest(hu)
