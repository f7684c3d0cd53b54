"""Pictures as images and masks of two dimensions."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal
from PIL import Image

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io import read_image, read_mask
from probseg.io.flat import read
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7)).astype(np.uint8)
GREY16 = RNG.integers(0, 65536, (5, 7)).astype(np.uint16)


def refused(code, path):
    with pytest.raises(ProbsegError) as caught:
        read(path)
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


def png(path, rows, bits, colour=0):
    """A PNG by hand, for depths that Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    height, width = rows.shape
    packed = b"".join(
        b"\0" + np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8)).tobytes() for row in rows
    )
    head = struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG", ".TIFF"])
@pytest.mark.parametrize("values", [GREY8, GREY16], ids=["8", "16"])
def test_grey_values_are_kept(tmp_path, suffix, values):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(values).save(path)
    array, geometry, stored = read_image(path, dimensions=2)
    assert_array_equal(array, values)
    assert geometry == stored == Geometry((5, 7), None)
    assert array.dtype == (np.int16 if values.max() < 2**15 else np.uint16)


def test_signed_and_real_tiff(tmp_path):
    for values in (GREY16.astype(np.int32) - 30000, GREY8.astype(np.float32) / 3):
        Image.fromarray(values).save(tmp_path / "a.tif")
        assert_array_equal(read(tmp_path / "a.tif"), values)


def test_big_endian_tiff(tmp_path):
    image = Image.frombytes("I;16B", (7, 5), GREY16.astype(">u2").tobytes())
    image.save(tmp_path / "a.tif")
    array = read(tmp_path / "a.tif")
    assert_array_equal(array, GREY16)
    assert array.dtype.isnative


def test_a_palette_gives_the_index_and_not_the_colour(tmp_path):
    labels = (GREY8 % 4).astype(np.uint8)
    palette = Image.frombytes("P", (7, 5), labels.tobytes())
    palette.putpalette([0, 0, 0, 200, 30, 40, 9, 180, 70, 60, 60, 255])
    for name in ("a.png", "a.tif"):
        palette.save(tmp_path / name)
        assert_array_equal(read_mask(tmp_path / name, Geometry((5, 7), None), "the mask"), labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_of_every_depth_holds_the_numbers_stored(tmp_path, bits):
    values = GREY16.astype(np.int64) % 2**bits
    array = read(png(tmp_path / "a.png", values, bits))
    assert_array_equal(array, values)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32, bool])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_one_array(tmp_path, kind, save):
    values = (GREY8 % 3).astype(kind)
    save(tmp_path / "a.npz", anything=values)
    assert_array_equal(read(tmp_path / "a.npz"), values.astype(np.uint8) if kind is bool else values)


def test_npz_of_negative_hu_is_an_image(tmp_path):
    np.savez(tmp_path / "a.npz", GREY8.astype(np.float64) - 1024)
    array, geometry, _ = read_image(tmp_path / "a.npz", dimensions=2)
    assert array.dtype == np.int16 and geometry.spacing is None
    assert_array_equal(array, GREY8.astype(int) - 1024)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_colours_are_refused_with_the_way_out(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (7, 5)).save(path)
    message = refused("E_DTYPE", path)
    assert mode in message and "palette" in message


def test_white_is_zero_is_refused(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").read_bytes()
    entry = struct.pack("<HHLHH", 262, 3, 1, 1, 0)
    assert raw.count(entry) == 1
    (tmp_path / "a.tif").write_bytes(raw.replace(entry, struct.pack("<HHLHH", 262, 3, 1, 0, 0)))
    refused("E_DTYPE", tmp_path / "a.tif")


def test_several_pages_are_no_image(tmp_path):
    page = Image.fromarray(GREY8)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    assert "3 pages" in refused("E_NDIM", tmp_path / "a.tif")


def test_faults_of_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=GREY8, b=GREY8)
    refused("E_SCHEMA", path)
    np.savez(path, np.zeros((2, 3, 4)))
    refused("E_NDIM", path)
    np.savez(path, np.zeros((2, 3), dtype=complex))
    refused("E_DTYPE", path)
    np.savez(path, np.array([[object()]], dtype=object))
    refused("E_DTYPE", path)
    path.write_bytes(b"no zip")
    refused("E_PARSE", path)


def test_faults_of_pictures(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(GREY8).save(path)
    raw = path.read_bytes()
    for length in range(1, len(raw) - 4, 3):
        path.write_bytes(raw[:length])
        refused("E_PARSE", path)
    rotten = bytearray(raw)
    rotten[60] ^= 4
    path.write_bytes(bytes(rotten))
    refused("E_PARSE", path)
    (tmp_path / "b.tif").write_bytes(raw)
    refused("E_PARSE", tmp_path / "b.tif")  # a PNG called TIFF
    path.write_bytes(b"")
    refused("E_EMPTY_FILE", path)
    png(path, np.zeros((1, 8), dtype=np.int64), 8)
    huge = bytearray(path.read_bytes())
    huge[16:24] = struct.pack(">LL", 60000, 60000)
    huge[29:33] = struct.pack(">L", zlib.crc32(bytes(huge[12:29])))
    path.write_bytes(bytes(huge))
    refused("E_TOO_LARGE", path)
    np.savez_compressed(tmp_path / "a.npz", np.zeros((2000, 2000)))
    monkeypatch.setenv("PROBSEG_MAX_BYTES", str(10**7))
    refused("E_TOO_LARGE", tmp_path / "a.npz")


def test_a_picture_is_no_volume(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    with pytest.raises(ProbsegError, match="E_NDIM"):
        read_image(tmp_path / "a.png")


def test_a_mask_of_another_size_is_refused(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        read_mask(tmp_path / "a.png", Geometry((7, 5), None), "the mask")


@pytest.mark.journey
def test_a_dataset_of_pictures_opens(tmp_path):
    (tmp_path / "dataset.yaml").write_text(
        yaml.safe_dump(DatasetInfo("pictures", 2, LabelSet.binary("cyst"), (0.0, 255.0)).to_dict()), encoding="utf-8"
    )
    lines = ["case_id,patient_id,site,image,rater,mask,rated,split"]
    for case, suffix in (("c1", ".png"), ("c2", ".npz")):
        Image.fromarray(GREY8).save(tmp_path / f"{case}.png")
        np.savez(tmp_path / f"{case}.npz", GREY8)
        for rater in ("A", "B"):
            mask = Image.frombytes("P", (7, 5), ((100 if rater == "A" else 150) < GREY8).astype(np.uint8).tobytes())
            mask.putpalette([0, 0, 0, 255, 0, 0])
            mask.save(tmp_path / f"{case}-{rater}.png")
            lines.append(f"{case},{case},,{case}{suffix},{rater},{case}-{rater}.png,,")
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dataset = open_dataset(tmp_path)
    for record in dataset.records:
        case = dataset.load(record)
        assert_array_equal(case.image, GREY8)
        assert case.geometry.spacing is None
        assert_array_equal(case.masks["B"], GREY8 > 150)


def test_a_dataset_may_say_that_its_images_have_channels(tmp_path):
    info = DatasetInfo("sequences", 2, LabelSet.binary("cyst"), (0.0, 255.0), channels=("t1", "flair"))
    assert DatasetInfo.from_dict(info.to_dict()) == info
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(info.to_dict()), encoding="utf-8")
    lines = ["case_id,patient_id,site,image,rater,mask,rated,split", "c,c,,c.npz,A,A.png,,", "d,d,,A.png,A,A.png,,"]
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.savez(tmp_path / "c.npz", np.stack([GREY8, 255 - GREY8]))
    Image.fromarray((GREY8 > 99).astype(np.uint8)).save(tmp_path / "A.png")
    dataset = open_dataset(tmp_path)
    case = dataset.load(dataset.records[0])
    assert case.image.shape == (2, 5, 7) and case.geometry.shape == (5, 7)
    with pytest.raises(ProbsegError, match=r"E_NDIM.*has one channel, but the dataset says 2"):
        dataset.load(dataset.records[1])
    np.savez(tmp_path / "c.npz", np.stack([GREY8] * 3))
    with pytest.raises(ProbsegError, match=r"E_NDIM.*but an image is \(2, rows, columns\)"):
        dataset.load(dataset.records[0])
    for wrong in ({"dimensions": 3}, {"channels": ["t1", "t1"]}, {"channels": [1]}):
        with pytest.raises(ProbsegError, match=r"E_SCHEMA.*channels"):
            DatasetInfo.from_dict(info.to_dict() | wrong)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npz"])
def test_no_damaged_byte_leads_to_a_traceback(tmp_path, damaged, suffix):
    path = tmp_path / f"a{suffix}"
    np.savez_compressed(path, GREY16) if suffix == ".npz" else Image.fromarray(GREY16).save(path)
    for broken in damaged(path.read_bytes(), 200):
        path.write_bytes(broken)
        try:
            assert read(path).ndim == 2
        except ProbsegError as error:
            assert error.code.startswith("E_")
