"""Every compressed transfer syntax that the extra decodes, encoded here by its own encoders."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from pydicom.data import get_testdata_file
from pydicom.uid import UID, JPEG2000Lossless, JPEGExtended12Bit, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import read_image
from probseg.io.dicom import compressed

JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = UID("1.2.840.10008.1.2.4.57"), UID("1.2.840.10008.1.2.4.70")
HTJ2K_LOSSLESS = UID("1.2.840.10008.1.2.4.201")
GDCM_NAMES = {
    JPEG_LOSSLESS: "JPEGLosslessProcess14",
    JPEG_LOSSLESS_SV1: "JPEGLosslessProcess14_1",
    JPEG2000Lossless: "JPEG2000Lossless",
    JPEGLSLossless: "JPEGLSLossless",
    RLELossless: "RLELossless",
}


def twelve_bits(d, k):
    d.BitsStored, d.HighBit = 12, 11


def recode(path: Path, syntax: UID) -> None:
    """One file to another transfer syntax by GDCM, in place."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, GDCM_NAMES[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax


@pytest.fixture
def small() -> np.ndarray:
    return np.random.default_rng(5).integers(-1024, 2000, (3, 40, 37)).astype(np.int16)


@pytest.mark.parametrize("syntax", list(GDCM_NAMES), ids=lambda s: s.name)
def test_lossless_streams_of_gdcm_give_the_same_volume(tmp_path, write_series, small, syntax):
    for path in write_series(tmp_path / "s", small, edit=twelve_bits):
        recode(path, syntax)
    assert_array_equal(read_image(tmp_path / "s")[0], small)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.name)
def test_signed_streams_keep_their_sign(tmp_path, write_series, small, syntax):
    pytest.importorskip("jpeg_ls")
    pytest.importorskip("openjpeg")

    def signed(d, k):
        d.PixelData = small[k].tobytes()
        d.PixelRepresentation, d.RescaleIntercept = 1, 0

    write_series(tmp_path / "s", small, edit=signed, compress=syntax)
    assert_array_equal(read_image(tmp_path / "s")[0], small)


def test_a_near_lossless_stream_is_within_its_error(tmp_path, write_series, small):
    pytest.importorskip("jpeg_ls")
    for path in write_series(tmp_path / "s", small):
        d = pydicom.dcmread(path)
        d.compress(JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
        d.save_as(path)
    array = read_image(tmp_path / "s")[0]
    assert 0 < np.abs(array.astype(int) - small).max() <= 3


@pytest.mark.filterwarnings("ignore::probseg.errors.ProbsegWarning")
def test_a_stream_signed_otherwise_than_its_header_keeps_its_hu():
    pytest.importorskip("openjpeg")
    hu = read_image(get_testdata_file("J2K_pixelrep_mismatch.dcm"), dimensions=2)[0]
    assert (hu.min(), hu.max()) == (-2000, 1896)


def test_many_frames_of_one_file_come_back_in_order(tmp_path):
    frames = np.random.default_rng(2).integers(0, 4096, (40, 8, 9)).astype(np.uint16)
    d = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    d.Rows, d.Columns, d.NumberOfFrames, d.PixelRepresentation = 8, 9, 40, 0
    d.PixelData = frames.tobytes()
    d.compress(RLELossless)
    d.save_as(tmp_path / "frames.dcm")
    order = tuple(np.random.default_rng(3).permutation(40).tolist())
    wanted = [compressed.Compressed(tmp_path / "frames.dcm", order, RLELossless, 16)]
    assert_array_equal([frame for frame, _ in compressed.decode(wanted)], frames[list(order)])


@pytest.mark.parametrize(
    ("syntax", "name", "package"),
    [
        (JPEG2000Lossless, "JPEG 2000", "pylibjpeg-openjpeg"),
        (HTJ2K_LOSSLESS, "High-Throughput JPEG 2000", "pylibjpeg-openjpeg"),
        (JPEGLSLossless, "JPEG-LS Lossless", "pyjpegls"),
        (JPEG_LOSSLESS_SV1, "JPEG Lossless", "python-gdcm"),
    ],
)
def test_without_its_decoder_a_syntax_and_its_package_are_named(tmp_path, monkeypatch, syntax, name, package):
    class Nothing:
        available_plugins = ()

    monkeypatch.setattr(compressed, "get_decoder", lambda uid: Nothing())
    with pytest.raises(ProbsegError, match=rf"E_NO_DECODER.*{name}.*pip install .*{package}.*probseg\[dicom\]"):
        compressed.check_decoder(tmp_path / "x.dcm", syntax)


def test_the_first_choice_is_taken_where_it_is_installed_and_another_where_not(tmp_path, monkeypatch):
    class Both:
        available_plugins = ("gdcm", "pyjpegls")

    class One:
        available_plugins = ("gdcm",)

    for decoder, expected in ((Both, "pyjpegls"), (One, "gdcm")):
        monkeypatch.setattr(compressed, "get_decoder", lambda uid, d=decoder: d())
        assert compressed._decoder_for(tmp_path, JPEGLSLossless, 12) == expected


def test_jpeg_extended_of_twelve_bits_is_not_taken_for_damage(tmp_path):
    # neither GDCM nor Pillow decodes it, although both announce the syntax
    with pytest.raises(ProbsegError, match=r"E_NO_DECODER.*JPEG Extended.*pylibjpeg-libjpeg"):
        compressed.check_decoder(tmp_path / "x.dcm", JPEGExtended12Bit, 12)


class Fatal:
    """Takes down the process that unpickles it, as a native decoder may on a damaged stream."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_decoder_that_dies_takes_nothing_else_down(tmp_path):
    with pytest.raises(ProbsegError, match=r"E_DECODE.*broke down"):
        list(compressed._decode_in_workers([(tmp_path / "a.dcm", Fatal(), (0,))]))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG_LOSSLESS_SV1, JPEGLSLossless], ids=lambda s: s.name)
def test_damaged_streams_end_in_an_error_or_an_image_and_print_nothing(tmp_path, write_series, small, syntax, capfd):
    paths = write_series(tmp_path / "s", small, edit=twelve_bits)
    for path in paths:
        recode(path, syntax)
    raw = paths[1].read_bytes()
    rng = np.random.default_rng(11)
    capfd.readouterr()
    for _ in range(4):
        damaged = bytearray(raw)
        for position in rng.integers(len(raw) - 200, len(raw) - 8, 4):
            damaged[position] ^= int(rng.integers(1, 256))
        paths[1].write_bytes(bytes(damaged))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProbsegWarning)
            try:
                assert read_image(tmp_path / "s")[0].shape == small.shape
            except ProbsegError as error:
                assert error.code == "E_DECODE"
    assert capfd.readouterr() == ("", "")
