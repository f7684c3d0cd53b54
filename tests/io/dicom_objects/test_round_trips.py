"""Every object of every kind of series comes back onto the grid of its image, by whoever reads it."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from probseg.case import reorient
from probseg.io.placement import locate
from probseg.io.segmentations import read_segments


def on_the_grid(volume, made, dtype):
    """An array of highdicom's volume on the canonical grid; its affine maps (slice, row, column) to LPS."""
    found = np.zeros(made.geometry.shape, dtype=dtype)
    place = locate(volume.affine, volume.array.shape[:3], made.geometry, Path("highdicom"))
    found[place.target] = place.turn(volume.array)
    return found


@pytest.mark.parametrize("name", ["segmentation", "label_map"])
def test_the_mode_comes_back_by_our_own_reader(made, name):
    segments = read_segments(made.files[name], made.geometry)
    assert [(s.name, s.number) for s in segments] == [("lung", 1), ("glass", 2), ("absent", 3)]
    for segment in segments:
        assert_array_equal(segment.mask, made.mode == segment.number)


@pytest.mark.parametrize("name", ["segmentation", "label_map"])
def test_the_mode_comes_back_by_highdicom(made, name):
    image = hd.seg.segread(made.files[name])
    volume = image.get_volume(combine_segments=True, skip_overlap_checks=True)
    assert_array_equal(on_the_grid(volume, made, np.uint8), made.mode)


def test_probabilities_come_back_within_half_a_quantum(made):
    image = hd.seg.segread(made.files["probability"])
    assert (image.SegmentationFractionalType, image.MaximumFractionalValue) == ("PROBABILITY", 255)
    for k, probability in enumerate(made.probability):
        volume = image.get_volume(segment_numbers=[k + 1], rescale_fractional=True, skip_overlap_checks=True)
        found = on_the_grid(volume.squeeze_channel(), made, np.float64)
        assert_allclose(found, probability, atol=0.5 / 255 + 1e-7)


def test_a_segment_is_from_one_half_on_where_a_mask_is_asked(made):
    segments = read_segments(made.files["probability"], made.geometry)
    for segment, probability in zip(segments, made.probability, strict=True):
        assert_array_equal(segment.mask, np.rint(probability * 255) >= 128)


def test_a_map_comes_back_exactly(made):
    image = hd.pm.ParametricMap.from_file(made.files["uncertainty"])
    volume = image.get_volume(apply_real_world_transform=True)
    assert_array_equal(on_the_grid(volume, made, np.float32), made.entropy)


def test_every_frame_names_the_image_that_it_lies_on(made):
    """Checked against the headers of the series, whatever this package thinks of them."""
    paths = sorted(made.path.iterdir()) if made.path.is_dir() else [made.path]
    heads = [pydicom.dcmread(p, stop_before_pixels=True) for p in paths]
    places = {}
    for head in heads:
        for k in range(head.get("NumberOfFrames", 1)):
            groups = head.PerFrameFunctionalGroupsSequence[k] if "NumberOfFrames" in head else None
            position = (
                head.ImagePositionPatient if groups is None else groups.PlanePositionSequence[0][0x20, 0x32].value
            )
            frame = None if groups is None else k + 1
            places[head.SOPClassUID, head.SOPInstanceUID, frame] = [float(v) for v in position]
    for name in ("segmentation", "label_map", "probability", "uncertainty"):
        data = pydicom.dcmread(made.files[name])
        assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == (
            heads[0].StudyInstanceUID,
            heads[0].FrameOfReferenceUID,
        )
        for frame in data.PerFrameFunctionalGroupsSequence:
            (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
            key = (
                reference.ReferencedSOPClassUID,
                reference.ReferencedSOPInstanceUID,
                reference.get("ReferencedFrameNumber"),
            )
            assert_allclose(frame.PlanePositionSequence[0].ImagePositionPatient, places[key], atol=1e-6)
        (series,) = data.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == heads[0].SeriesInstanceUID
        listed = {(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in series.ReferencedInstanceSequence}
        assert listed == {key[:2] for key in places} and len(series.ReferencedInstanceSequence) == len(listed)


@pytest.mark.oracle
def test_simpleitk_reads_the_planes_in_the_order_of_the_series(made):
    """GDCM knows neither label maps nor parametric maps; of segmentations it reads the pixels, not their places.

    Of single bits it reads whole bytes only: these 990 end with six that it leaves out.
    """
    sitk = pytest.importorskip("SimpleITK")
    turned, stored = reorient(made.mode, made.geometry, made.source.geometry.direction)
    assert stored.close_to(made.source.geometry)
    expected = [turned[k] == number for number in (1, 2) for k in range(len(turned)) if (turned[k] == number).any()]
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(made.files["segmentation"])))
    whole = found.size // 8 * 8
    assert_array_equal(found.ravel()[:whole] > 0, np.ravel(expected)[:whole])
    probability = np.stack([reorient(p, made.geometry, stored.direction)[0] for p in made.probability])
    quanta = np.rint(probability * 255).astype(np.uint8).reshape(-1, *stored.shape[1:])
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(made.files["probability"])))
    assert_array_equal(found, quanta[quanta.any(axis=(1, 2))])
