from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.case import Case, Geometry, Source
from probseg.errors import ProbsegError
from probseg.io.prepared import PreparedCase, write_prepared


def volume(seed: int = 0, shape: tuple[int, ...] = (5, 12, 9), channels: int = 0) -> Case:
    """Rater b left slice 1 out, c looked at a corner only, d at nothing."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-1000, 1000, (channels, *shape) if channels else shape).astype(np.int16)
    masks = {name: rng.integers(0, 4, shape).astype(np.uint8) * (rng.random(shape) < 0.2) for name in "abcd"}
    slices, corner = np.ones((shape[0], 1, 1), bool), np.zeros(shape, bool)
    slices[1] = False
    corner[..., :3, :4] = True
    rated = {"b": slices, "c": corner, "d": np.zeros((1, 1, 1), bool)}
    stored = Geometry(shape[::-1], (1.0, 1.0, 2.5), (1.5, 2.5, 3.5))
    return Case("x", "p", "s", image, masks, Geometry(shape, (2.5, 0.7, 0.7), (1, 2, 3)), rated, Source(None, stored))


def prepared(tmp_path: Path, case: Case) -> PreparedCase:
    write_prepared(tmp_path / "x.case", case, "key")
    return PreparedCase(tmp_path / "x.case")


def same(a: Case, b: Case) -> None:
    assert (a.case_id, a.patient_id, a.site, a.geometry) == (b.case_id, b.patient_id, b.site, b.geometry)
    assert a.source.geometry == b.source.geometry
    assert a.image.dtype == b.image.dtype
    assert np.array_equal(a.image, b.image)
    assert list(a.masks) == list(b.masks)
    for one, other in zip(a.stacked(), b.stacked(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("channels", [0, 2])
def test_a_case_comes_back(tmp_path: Path, channels: int) -> None:
    case = volume(channels=channels)
    back = prepared(tmp_path, case).case("p", "s", list("abcd"))
    same(back, case)
    assert list(back.rated) == ["b", "c", "d"]
    assert back.image.flags.writeable


def test_an_image_of_two_dimensions_is_one_slice(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    geometry = Geometry((7, 6), None, slice_thickness_mm=2.0)
    rated = {"b": np.eye(7, 6, dtype=bool)}
    masks = {name: rng.integers(0, 2, (7, 6)).astype(np.uint8) for name in "ab"}
    case = Case("y", "p", "", rng.random((7, 6)).astype(np.float32), masks, geometry, rated)
    found = prepared(tmp_path, case)
    same(found.case("p", "", ["a", "b"]), case)
    assert found.read(0, 1).image.shape == (1, 7, 6)


@given(st.data())
def test_any_part_is_that_part_of_the_arrays(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.case"
    case = volume()
    if not path.exists():
        write_prepared(path, case, "key")
    starts = [data.draw(st.integers(0, n - 1)) for n in case.geometry.shape]
    stops = [data.draw(st.integers(a + 1, n)) for a, n in zip(starts, case.geometry.shape, strict=True)]
    raters = data.draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1))
    part = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    slab = PreparedCase(path).read(starts[0], stops[0], (starts[1], stops[1]), (starts[2], stops[2]), raters)
    assert np.array_equal(slab.image, case.image[part])
    for k, name in enumerate(raters):
        assert np.array_equal(slab.masks[k], case.masks[name][part])
        looked = case.rated_by(name)[part]
        assert np.array_equal(np.broadcast_to(slab.rated[k], looked.shape), looked)


def test_rated_is_not_spelt_out_where_planes_are_rated_whole(tmp_path: Path) -> None:
    found = prepared(tmp_path, volume())
    assert found.read(0, 5, raters=["a", "b", "d"]).rated.shape == (3, 5, 1, 1)
    assert found.read(0, 5, raters=["c"]).rated.shape == (1, 5, 12, 9)
    assert found.read(0, 5, (0, 3), (0, 4), raters=["c"]).rated.shape == (1, 5, 1, 1)


def test_the_header_counts_what_was_drawn_and_rated(tmp_path: Path) -> None:
    case = volume()
    masks, rated = case.stacked()
    found = prepared(tmp_path, case)
    assert found.drawn == tuple(((masks > 0) & rated).any(0).sum((1, 2)).tolist())
    for raters in (["b"], ["d", "c"], list("abcd")):
        rows = [list(case.masks).index(name) for name in raters]
        assert found.drawn_by(raters) == tuple(((masks > 0) & rated)[rows].any(0).sum((1, 2)).tolist())
    assert found.looked_by(list("abcd")) == (True,) * 5
    assert found.looked_by(["b", "d"]) == (True, False, True, True, True)
    assert found.looked_by(["d"]) == (False,) * 5


def test_the_same_case_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_prepared(tmp_path / name, volume(), "key")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_masks_of_nine_labels_everywhere_take_less_than_half(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = {name: rng.integers(0, 9, (3, 128, 128)).astype(np.uint8) for name in "ab"}
    case = Case("n", "n", "", np.zeros((3, 128, 128), np.int16), noise, Geometry((3, 128, 128), (1, 1, 1)))
    found = prepared(tmp_path, case)
    same(found.case("n", "", ["a", "b"]), case)
    assert found.mask_bytes < 2 * 3 * 128 * 128 / 2


def test_a_copy_in_another_process_opens_its_file_anew(tmp_path: Path) -> None:
    found = prepared(tmp_path, volume())
    before = found.read(1, 3)
    packed = pickle.dumps(found)
    assert len(packed) < 2000  # no voxel travels
    again = pickle.loads(packed).read(1, 3)
    assert all(np.array_equal(a, b) for a, b in zip(before, again, strict=True))


def test_a_part_outside_and_an_unknown_rater_are_refused(tmp_path: Path) -> None:
    found = prepared(tmp_path, volume())
    for part in ((0, 6), (-1, 2), (3, 3), (0, 1, (0, 13)), (0, 1, None, (4, 2))):
        with pytest.raises(ProbsegError, match=r"E_SCHEMA.*does not lie inside"):
            found.read(*part)
    with pytest.raises(ProbsegError, match=r"E_UNKNOWN_RATER.*'z'"):
        found.read(0, 1, raters=["z"])


def test_damage_is_found(tmp_path: Path) -> None:
    found = prepared(tmp_path, volume())
    found.check()
    whole = found.path.read_bytes()
    bad = tmp_path / "bad.case"
    for data in (whole[:-1], whole + b"x", whole[:20], b"", b"PK" + whole[2:], whole.replace(b'"key"', b'"kex"')):
        bad.write_bytes(data)
        with pytest.raises(ProbsegError, match="E_STORE_DAMAGED"):
            PreparedCase(bad)
    for place in (-1, -len(whole) // 2):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        bad.write_bytes(flipped)
        with pytest.raises(ProbsegError, match="E_STORE_DAMAGED"):
            PreparedCase(bad).check()
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        PreparedCase(tmp_path / "none.case")
