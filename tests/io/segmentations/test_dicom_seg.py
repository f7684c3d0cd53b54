"""DICOM-SEG as highdicom writes it, and what other writers do to frames."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from probseg.errors import ProbsegError
from probseg.io import read_image
from probseg.io.segmentations import read_segments

hd = pytest.importorskip("highdicom")

SHAPE = (6, 33, 35)  # 1155 pixels a frame: frames do not start at bytes
LESION = np.zeros(SHAPE, dtype=bool)
LESION[1:3, 2:7, 3:10] = True
LESION[2, 4, 5] = False
CYST = np.zeros(SHAPE, dtype=bool)
CYST[4, 1:3, 30:] = True
CYST[2, 0, 0] = True


@pytest.fixture
def hu():
    return np.random.default_rng(7).integers(-1024, 2000, SHAPE).astype(np.int16)


def patient(d, k):
    """What a source image must have for highdicom."""
    d.PatientBirthDate, d.PatientSex, d.StudyDate, d.StudyTime = "", "", "", ""
    d.AccessionNumber, d.StudyID, d.ReferringPhysicianName, d.PositionReferenceIndicator = "", "", "", ""
    d.SeriesNumber = 1


@pytest.fixture
def image(tmp_path, write_series, hu):
    """Data sets in their order along the patient, and the geometry."""
    paths = write_series(tmp_path / "image", hu, edit=patient)
    return [pydicom.dcmread(p) for p in paths], read_image(tmp_path / "image")[1]


def describe(number, label):
    code = hd.sr.CodedConcept("49755003", "SCT", "Morphologically abnormal structure")
    return hd.seg.SegmentDescription(number, label, code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)


def write(path, sources, pixels, kind, syntax=None, labels=("Lesion", "Cyst"), **options):
    """``pixels``: (slices, rows, columns, segments) of booleans or fractions, or label map (slices, rows, columns)."""
    seg = hd.seg.Segmentation(
        sources,
        pixels,
        kind,
        [describe(k + 1, label) for k, label in enumerate(labels)],
        series_instance_uid=hd.UID(),
        series_number=2,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="A",
        manufacturer_model_name="B",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian if syntax is None or syntax.is_compressed else syntax,
        **options,
    )
    seg.save_as(path)
    if syntax is not None and syntax.is_compressed:
        d = pydicom.dcmread(path)
        d.compress(syntax, encoding_plugin=ENCODER[syntax])
        d.save_as(path)
    return path


# named, because GDCM may abort on frames of an odd size
ENCODER = {RLELossless: "pydicom", JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}
BOTH = np.stack([LESION, CYST], axis=-1)


def check(path, geometry, lesion=LESION, cyst=CYST):
    segments = read_segments(path, geometry)
    assert [(s.name, s.number) for s in segments] == [("Lesion", 1), ("Cyst", 2)]
    assert_array_equal(segments[0].mask, lesion)
    assert_array_equal(segments[1].mask, cyst)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda s: s.name)
def test_binary_segments_that_overlap(tmp_path, image, syntax, sparse):
    both = BOTH.copy()
    both[2, 3, 4, 1] = True  # lesion and cyst
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, both, "BINARY", syntax, omit_empty_frames=sparse)
    assert pydicom.dcmread(path).NumberOfFrames == (4 if sparse else 12)
    check(path, geometry, cyst=both[..., 1])


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.name
)
def test_fractions_count_from_one_half_on(tmp_path, image, syntax):
    sources, geometry = image
    fractions = BOTH * 0.9
    fractions[1, 2, 3, 0], fractions[0, 0, 0, 0] = 0.4, 0.5
    expected = LESION.copy()
    expected[1, 2, 3], expected[0, 0, 0] = False, True
    path = write(
        tmp_path / "a.dcm",
        sources,
        fractions,
        "FRACTIONAL",
        syntax,
        fractional_type="PROBABILITY",
        max_fractional_value=200,
    )
    check(path, geometry, lesion=expected)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless], ids=lambda s: s.name)
@pytest.mark.parametrize("sparse", [True, False])
def test_a_label_map(tmp_path, image, syntax, sparse):
    sources, geometry = image
    labels = (LESION + 2 * CYST).astype(np.uint8)
    path = write(tmp_path / "a.dcm", sources, labels, "LABELMAP", syntax, omit_empty_frames=sparse)
    check(path, geometry)


def test_a_label_map_of_sixteen_bits(tmp_path, image):
    sources, geometry = image
    labels = (LESION + 2 * CYST).astype(np.uint8)
    path = write(tmp_path / "a.dcm", sources, labels, "LABELMAP")
    d = pydicom.dcmread(path)
    d.BitsAllocated, d.BitsStored, d.HighBit = 16, 16, 15
    d.SegmentSequence[-1].SegmentNumber = 700
    values = d.pixel_array if d.BitsAllocated == 8 else np.frombuffer(d.PixelData, np.uint8)
    pixels = values[: d.NumberOfFrames * 1155].astype(np.uint16)
    pixels[pixels == 2] = 700
    d.PixelData = pixels.tobytes()
    d["PixelData"].VR = "OW"
    d.save_as(path)
    segments = read_segments(path, geometry)
    assert segments[-1].number == 700
    assert_array_equal(segments[-1].mask, CYST)


def test_a_deflated_data_set(tmp_path, image):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    d = pydicom.dcmread(path)
    d.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    d.save_as(path)
    assert b"Lesion" not in path.read_bytes()
    check(path, geometry)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("words", [True, False])
def test_big_endian_pixels_as_words_and_as_bytes(tmp_path, image, kind, words):
    sources, geometry = image
    pixels = BOTH if kind == "BINARY" else (LESION + 2 * CYST).astype(np.uint8)
    d = pydicom.dcmread(write(tmp_path / "a.dcm", sources, pixels, kind))
    raw = np.frombuffer(d.PixelData, np.uint8)
    d.PixelData = raw.view("<u2").byteswap().tobytes() if words else raw.tobytes()
    d["PixelData"].VR = "OW" if words else "OB"
    d.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(tmp_path / "b.dcm", d, implicit_vr=False, little_endian=False)
    check(tmp_path / "b.dcm", geometry)


def reorder(path, order):
    """Frames of a binary segmentation in another order."""
    d = pydicom.dcmread(path)
    frames = d.pixel_array[order]
    d.PerFrameFunctionalGroupsSequence = [d.PerFrameFunctionalGroupsSequence[k] for k in order]
    d.NumberOfFrames = len(order)
    d.PixelData = pydicom.pixels.pack_bits(frames.ravel())
    d.save_as(path)
    return d


def test_frames_in_any_order(tmp_path, image):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY", omit_empty_frames=False)
    reorder(path, np.random.default_rng(0).permutation(12))
    check(path, geometry)


def test_a_segment_without_frames_is_empty(tmp_path, image):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    d = pydicom.dcmread(path)
    of_lesion = [
        k
        for k, f in enumerate(d.PerFrameFunctionalGroupsSequence)
        if f.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    ]
    reorder(path, of_lesion)
    check(path, geometry, cyst=np.zeros(SHAPE, dtype=bool))


def crop(path, rows, columns):
    """Cuts every frame of a binary segmentation, as writers do that store the box round the segments."""
    d = pydicom.dcmread(path)
    frames = d.pixel_array[:, rows[0] : rows[1], columns[0] : columns[1]]
    d.Rows, d.Columns = frames.shape[1:]
    d.PixelData = pydicom.pixels.pack_bits(np.ascontiguousarray(frames).ravel())
    row_mm, column_mm = d.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    for f in d.PerFrameFunctionalGroupsSequence:
        position = f.PlanePositionSequence[0].ImagePositionPatient
        position[0] += columns[0] * column_mm
        position[1] += rows[0] * row_mm
    d.save_as(path)


def test_frames_smaller_than_the_image(tmp_path, image):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    crop(path, (0, 8), (0, 35))
    check(path, geometry)
    crop(path, (0, 8), (2, 35))  # and the cyst's corner is lost
    cyst = CYST.copy()
    cyst[2, 0, 0] = False
    check(path, geometry, cyst=cyst)


def test_frames_that_run_against_the_image(tmp_path, image):
    """Rows towards anterior: the same anatomy, stored bottom-up."""
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    d = pydicom.dcmread(path)
    d.PixelData = pydicom.pixels.pack_bits(np.ascontiguousarray(d.pixel_array[:, ::-1]).ravel())
    shared = d.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    for f in d.PerFrameFunctionalGroupsSequence:
        f.PlanePositionSequence[0].ImagePositionPatient[1] += 32 * 0.7
    d.save_as(path)
    check(path, geometry)


def test_on_an_image_that_was_turned_to_canonical_axes(tmp_path, write_series, hu):
    """A sagittal scan: its slices are the columns of the canonical grid."""

    def sagittal(d, k):
        patient(d, k)
        d.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        d.ImagePositionPatient = [-120.0 + 2.5 * k, -80.5, 33.25]

    paths = write_series(tmp_path / "image", hu, edit=sagittal)
    array, geometry, _ = read_image(tmp_path / "image")
    path = write(tmp_path / "a.dcm", [pydicom.dcmread(p) for p in paths], hu > 500, "BINARY", labels=("Lesion",))
    assert geometry.shape == (33, 35, 6)
    assert_array_equal(read_segments(path, geometry)[0].mask, array > 500)


def move(millimetres, axis):
    def edit(d):
        for f in d.PerFrameFunctionalGroupsSequence:
            f.PlanePositionSequence[0].ImagePositionPatient[axis] += millimetres

    return edit


def turn(d):
    d.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [
        0.8,
        0.6,
        0,
        -0.6,
        0.8,
        0,
    ]


def stretch(d):
    d.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.75]


def drop(name):
    return lambda d: delattr(d, name)


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("E_AFFINE_MISMATCH", move(1.25, 2)),
        ("E_AFFINE_MISMATCH", move(0.2, 0)),
        ("E_AFFINE_MISMATCH", move(0.8, 0)),
        ("E_AFFINE_MISMATCH", move(250.0, 2)),
        ("E_AFFINE_MISMATCH", turn),
        ("E_AFFINE_MISMATCH", stretch),
        ("E_DICOM_CORRUPT", drop("PerFrameFunctionalGroupsSequence")),
        ("E_DICOM_CORRUPT", drop("SharedFunctionalGroupsSequence")),
        ("E_DICOM_CORRUPT", drop("SegmentationType")),
        ("E_DICOM_CORRUPT", drop("Rows")),
        ("E_NO_LABELS", drop("SegmentSequence")),
        ("E_NO_PIXELDATA", drop("PixelData")),
        ("E_UNKNOWN_LABEL", lambda d: d.SegmentSequence.pop()),
        ("E_DICOM_TRUNCATED", lambda d: setattr(d, "PixelData", d.PixelData[:20])),
        ("E_DICOM_TRUNCATED", lambda d: setattr(d, "Rows", 65535)),
        ("E_NO_LABELS", lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")),
        ("E_SCHEMA", lambda d: setattr(d.SegmentSequence[1], "SegmentLabel", "Lesion")),
    ],
)
def test_each_fault_has_its_code(tmp_path, image, code, edit):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    d = pydicom.dcmread(path)
    edit(d)
    d.save_as(path)
    with pytest.raises(ProbsegError) as caught:
        read_segments(path, geometry)
    assert caught.value.code == code, str(caught.value)
    assert "Canary" not in str(caught.value)


def test_a_file_cut_anywhere_is_an_error(tmp_path, image):
    sources, geometry = image
    raw = write(tmp_path / "a.dcm", sources, BOTH, "BINARY").read_bytes()
    path = tmp_path / "cut.dcm"
    for length in range(1, len(raw) - 1, 397):
        path.write_bytes(raw[:length])
        with pytest.raises(ProbsegError, match=r"E_DICOM_|E_NO_"):
            read_segments(path, geometry)


def test_what_is_no_dicom(tmp_path, image):
    (tmp_path / "a.dcm").write_bytes(b"something else altogether")
    with pytest.raises(ProbsegError, match="E_NO_DICOM"):
        read_segments(tmp_path / "a.dcm", image[1])


def test_too_many_segments_for_the_limit(tmp_path, image, monkeypatch):
    sources, geometry = image
    path = write(tmp_path / "a.dcm", sources, BOTH, "BINARY")
    limit = 2 * LESION.size - 1
    assert path.stat().st_size < limit
    monkeypatch.setenv("PROBSEG_MAX_BYTES", str(limit))
    with pytest.raises(ProbsegError, match="E_TOO_LARGE"):
        read_segments(path, geometry)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_no_damaged_byte_leads_to_a_traceback(tmp_path, image, damaged, kind):
    sources, geometry = image
    pixels = BOTH if kind == "BINARY" else (LESION + 2 * CYST).astype(np.uint8)
    raw = write(tmp_path / "a.dcm", sources, pixels, kind).read_bytes()
    for broken in damaged(raw, 150):
        (tmp_path / "b.dcm").write_bytes(broken)
        try:
            assert all(s.mask.shape == SHAPE for s in read_segments(tmp_path / "b.dcm", geometry))
        except ProbsegError as error:
            assert "Canary" not in error.message
