"""RTSTRUCT through ``probseg import dicom``: a planning system's contours become a rater's mask."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from probseg.case import Geometry
from probseg.cli import main
from probseg.io import nifti
from probseg.manifest import open_dataset

GRID = Geometry((6, 9, 11), (2.0, 0.5, 0.5), (10.0, 20.0, 30.0))


def rectangle(rows, columns, plane):
    """A closed contour half a pixel outside the centres of these rows and columns, in mm."""
    (top, bottom), (left, right) = rows, columns
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    index = np.array([(plane, r + dr, c + dc, 1) for (r, c), (dr, dc) in zip(
        corners, [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)], strict=True)])  # fmt: skip
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = 4
    item.ContourData = [f"{v:.3f}" for v in (index @ GRID.affine.T)[:, :3].ravel()]
    return item


def write_rtstruct(path, name, contours):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    struct = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    struct.SOPClassUID, struct.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    struct.Modality = "RTSTRUCT"
    region, drawn = Dataset(), Dataset()
    region.ROINumber = drawn.ReferencedROINumber = 1
    region.ROIName, drawn.ContourSequence = name, contours
    struct.StructureSetROISequence, struct.ROIContourSequence = [region], [drawn]
    path.parent.mkdir(parents=True)
    struct.save_as(path, enforce_file_format=True)


def test_contours_beside_label_maps(tmp_path, monkeypatch, write_ct, capfd):
    monkeypatch.chdir(tmp_path)
    write_ct(tmp_path / "export" / "ct", np.arange(594, dtype=np.int16).reshape(GRID.shape), uid="1.2.3")
    contours = [rectangle((2, 5), (3, 7), 1), rectangle((3, 4), (4, 6), 1), rectangle((2, 5), (3, 7), 3)]
    write_rtstruct(tmp_path / "plans" / "ct.dcm", "GTV", contours)
    expected = np.zeros(GRID.shape, np.uint8)
    expected[1, 2:6, 3:8] = expected[3, 2:6, 3:8] = 1
    expected[1, 3:5, 4:7] = 0  # the contour inside the contour is a hole
    nifti.write(tmp_path / "masks" / "ct.nii.gz", expected, GRID)
    words = ["import", "dicom", "export", "--masks", "anna=plans/{case}.dcm", "ben=masks/{case}.nii.gz"]
    assert main([*words, "--label", "GTV=foreground", "--out", "dataset"]) == 0, capfd.readouterr().err
    (case,) = open_dataset("dataset")
    assert_array_equal(case.masks["anna"], expected)
    assert_array_equal(case.masks["ben"], expected)
