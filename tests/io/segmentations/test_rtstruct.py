"""RTSTRUCT: polygons worked out by hand on an anisotropic grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from probseg.case import Geometry
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io.segmentations import read_segments

# 3 slices of 6 x 7 pixels of 0.7 x 0.9 mm, 2.5 mm apart
GRID = Geometry((3, 6, 7), (2.5, 0.7, 0.9), (-120.3, -80.5, 33.25))
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def place(points, plane, grid=GRID):
    """``(row, column)`` in pixels on a slice to what a planning system writes: mm as text of two decimals."""
    index = np.array([(plane, r, c, 1.0) for r, c in points])
    return [f"{v:.2f}" for v in (index @ grid.affine.T)[:, :3].ravel()]


def contour(data, kind="CLOSED_PLANAR"):
    d = Dataset()
    d.ContourGeometricType = kind
    d.NumberOfContourPoints = len(data) // 3
    d.ContourData = data
    return d


def write(path, regions, sop_class=RTSTRUCT):
    """``regions``: name to contours."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = sop_class, meta.MediaStorageSOPInstanceUID, "RTSTRUCT"
    d.PatientName = "Canary^Ottilie"
    d.StructureSetROISequence, d.ROIContourSequence = [], []
    for k, (name, contours) in enumerate(regions.items()):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = 10 + k, name
        drawn.ReferencedROINumber = 10 + k
        if contours:
            drawn.ContourSequence = contours
        d.StructureSetROISequence.append(roi)
        d.ROIContourSequence.append(drawn)
    d.save_as(path, enforce_file_format=True)
    return path


def text(mask):
    return ["".join(".#"[int(v)] for v in row) for row in mask]


def one(path, contours, grid=GRID):
    (segment,) = read_segments(write(path, {"Lesion": contours}), grid)
    assert (segment.name, segment.number) == ("Lesion", 10)
    return segment.mask


def square(low, high):
    return [(low, low), (low, high), (high, high), (high, low)]


def test_centres_inside_on_their_slice_only(tmp_path):
    mask = one(tmp_path / "a.dcm", [contour(place([(0.5, 1.5), (0.5, 4.5), (3.5, 4.5), (3.5, 1.5)], 1))])
    assert text(mask[1]) == [".......", "..###..", "..###..", "..###..", ".......", "......."]
    assert not mask[0].any() and not mask[2].any()


def test_centres_on_the_boundary_belong_to_greater_row_and_column(tmp_path):
    mask = one(tmp_path / "a.dcm", [contour(place(square(1, 4), 2))])
    assert text(mask[2]) == [".......", ".###...", ".###...", ".###...", ".......", "......."]


def test_a_triangle_by_hand(tmp_path):
    # Right edge: column = 1.25 + (4.5 - row) * 4 / 4; row r holds columns from 2 to 5.75 - r, exclusive.
    mask = one(tmp_path / "a.dcm", [contour(place([(0.5, 1.25), (0.5, 5.25), (4.5, 1.25)], 0))])
    assert text(mask[0]) == [".......", "..###..", "..##...", "..#....", ".......", "......."]


def test_hole_island_and_keyhole(tmp_path):
    outer, hole, island = square(-0.5, 5.5), square(0.5, 4.5), square(1.5, 3.5)
    several = one(tmp_path / "a.dcm", [contour(place(p, 1)) for p in (hole, island, outer)])
    assert text(several[1]) == ["######.", "#....#.", "#.##.#.", "#.##.#.", "#....#.", "######."]
    keyhole = [*outer, outer[0], *hole, hole[0]]
    assert text(one(tmp_path / "b.dcm", [contour(place(keyhole, 1))])[1]) == [
        "######.",
        "#....#.",
        "#....#.",
        "#....#.",
        "#....#.",
        "######.",
    ]


def test_the_standards_own_name_for_exclusive_or(tmp_path):
    contours = [contour(place(p, 1), "CLOSEDPLANAR_XOR") for p in (square(-0.5, 3.5), square(0.5, 1.5))]
    assert text(one(tmp_path / "a.dcm", contours)[1])[:3] == ["####...", "#.##...", "####..."]


def test_several_regions_overlap_and_one_is_empty(tmp_path):
    path = write(
        tmp_path / "a.dcm",
        {
            "A": [contour(place(square(0.5, 2.5), 0))],
            "B": [contour(place(square(1.5, 3.5), k)) for k in (0, 1)],
            "C": [],
        },
    )
    a, b, c = read_segments(path, GRID)
    assert [(s.name, s.number, int(s.mask.sum())) for s in (a, b, c)] == [("A", 10, 4), ("B", 11, 8), ("C", 12, 0)]
    assert (a.mask & b.mask).sum() == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_contours_of_a_coronal_or_sagittal_scan(tmp_path, axis):
    """Drawn on the planes of the scan, which are rows or columns of the canonical grid."""
    grid = Geometry((6, 7, 8), (0.7, 0.9, 0.8), (-10.0, 5.0, 100.0))
    index = np.insert(np.array([(0.6, 1.6), (0.6, 4.4), (3.4, 4.4), (3.4, 1.6)]), axis, 3, axis=1)
    points = np.hstack([index, np.ones((4, 1))]) @ grid.affine.T
    mask = one(tmp_path / "a.dcm", [contour([f"{v:.3f}" for v in points[:, :3].ravel()])], grid)
    expected = np.zeros(grid.shape, dtype=bool)
    np.moveaxis(expected, axis, 0)[3, 1:4, 2:5] = True
    assert_array_equal(mask, expected)


def test_an_oblique_grid(tmp_path):
    a = np.deg2rad(17)
    direction = ((0.0, np.sin(a), np.cos(a)), (0.0, np.cos(a), -np.sin(a)), (1.0, 0.0, 0.0))
    grid = Geometry((3, 6, 7), (2.5, 0.7, 0.9), (-120.3, -80.5, 33.25), direction)
    mask = one(tmp_path / "a.dcm", [contour(place(square(0.6, 3.4), 1, grid))], grid)
    assert text(mask[1]) == [".......", ".###...", ".###...", ".###...", ".......", "......."]


def test_an_exact_copy_of_a_contour_does_not_undo_it(tmp_path):
    contours = [contour(place(square(0.5, 2.5), 1)) for _ in range(2)]
    with pytest.warns(ProbsegWarning, match="W_DUPLICATE_CONTOUR"):
        assert one(tmp_path / "a.dcm", contours).sum() == 4


def test_points_and_open_contours_enclose_nothing(tmp_path):
    contours = [
        contour(place([(1, 1)], 1), "POINT"),
        contour(place(square(1, 3), 1), "OPEN_PLANAR"),
        contour(place(square(0.5, 2.5), 1)),
    ]
    with pytest.warns(ProbsegWarning, match="W_OPEN_CONTOUR.*2 points or open"):
        assert one(tmp_path / "a.dcm", contours).sum() == 4


def test_positions_rounded_by_the_planning_system_are_on_their_slice(tmp_path):
    assert one(tmp_path / "a.dcm", [contour(place(square(0.5, 2.5), 1.004))]).sum() == 4


@pytest.mark.parametrize(
    ("message", "points", "plane"),
    [
        (r"1\.25 mm off the nearest slice \(slices are 2\.50 mm apart\)", square(0.5, 2.5), 0.5),
        (r"0\.50 mm off", square(0.5, 2.5), 1.2),
        ("beyond its image", square(0.5, 2.5), 3),
        ("beyond its image", square(0.5, 2.5), -1),
        ("beyond its image", square(0.5, 9.5), 1),
        ("beyond its image", square(-2.5, 2.5), 1),
    ],
)
def test_contours_off_the_grid_are_refused_with_the_distance(tmp_path, message, points, plane):
    path = write(tmp_path / "a.dcm", {"Lesion": [contour(place(points, plane))]})
    with pytest.raises(ProbsegError, match=f"E_AFFINE_MISMATCH.*region 'Lesion'.*{message}"):
        read_segments(path, GRID)


def test_a_contour_across_the_slices_is_refused(tmp_path):
    flat, slanted = place(square(0.5, 2.5), 1), place(square(0.5, 2.5), 1)
    slanted[2] = f"{float(slanted[2]) + 1.0:.2f}"
    path = write(tmp_path / "a.dcm", {"Lesion": [contour(flat), contour(slanted)]})
    with pytest.raises(ProbsegError, match=r"E_AFFINE_MISMATCH.*off the nearest slice"):
        read_segments(path, GRID)


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("E_NO_LABELS", lambda d: delattr(d, "StructureSetROISequence")),
        ("E_DICOM_CORRUPT", lambda d: setattr(d.ROIContourSequence[0], "ReferencedROINumber", 77)),
        ("E_DICOM_CORRUPT", lambda d: delattr(d.ROIContourSequence[0], "ReferencedROINumber")),
        ("E_DICOM_CORRUPT", lambda d: d.ROIContourSequence[0].ContourSequence[0].ContourData.pop()),
        ("E_DICOM_CORRUPT", lambda d: delattr(d.ROIContourSequence[0].ContourSequence[0], "ContourData")),
        ("E_NO_LABELS", lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.5")),
    ],
)
def test_each_fault_has_its_code(tmp_path, code, edit):
    import pydicom

    path = write(tmp_path / "a.dcm", {"Lesion": [contour(place(square(0.5, 2.5), 1))]})
    d = pydicom.dcmread(path)
    edit(d)
    d.save_as(path)
    with pytest.raises(ProbsegError) as caught:
        read_segments(path, GRID)
    assert caught.value.code == code and "Canary" not in str(caught.value)


def test_a_number_that_is_none_is_an_error(tmp_path):
    path = write(tmp_path / "a.dcm", {"Lesion": [contour(place(square(0.5, 2.5), 1))]})
    raw = path.read_bytes()
    assert raw.count(b"-119.85") > 0
    path.write_bytes(raw.replace(b"-119.85", b"-119,85"))
    with pytest.raises(ProbsegError, match="E_DICOM_CORRUPT"):
        read_segments(path, GRID)


def test_a_file_cut_off_is_an_error(tmp_path):
    raw = write(tmp_path / "a.dcm", {"Lesion": [contour(place(square(0.5, 2.5), 1))]}).read_bytes()
    for length in range(150, len(raw) - 1, 37):
        (tmp_path / "cut.dcm").write_bytes(raw[:length])
        with pytest.raises(ProbsegError, match=r"E_DICOM_|E_NO_"):
            read_segments(tmp_path / "cut.dcm", GRID)


@pytest.mark.filterwarnings("ignore::probseg.errors.ProbsegWarning")
def test_no_damaged_byte_leads_to_a_traceback(tmp_path, damaged):
    raw = write(tmp_path / "a.dcm", {"A": [contour(place(square(0.5, 2.5), 1))], "B": []}).read_bytes()
    for broken in damaged(raw, 200):
        (tmp_path / "b.dcm").write_bytes(broken)
        try:
            assert all(s.mask.shape == GRID.shape for s in read_segments(tmp_path / "b.dcm", GRID))
        except ProbsegError as error:
            assert "Canary" not in error.message
