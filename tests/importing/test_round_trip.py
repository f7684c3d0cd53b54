"""Synthetic cases of several sites, written in every format that import reads, come back voxel for voxel."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.cli import main
from probseg.io import nifti
from probseg.manifest import open_dataset


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Four cases of two sites by three raters, some slices unread."""
    folder = tmp_path_factory.mktemp("source") / "synthetic"
    words = ("--cases", "4", "--sites", "2", "--raters", "3", "--shape", "6", "32", "48", "--seed", "4")
    assert main(["import", "synthetic", "--out", str(folder), *words]) == 0
    return folder


def tables(source, out):
    """What a group would keep in a spreadsheet: who is where, and what was read."""
    records = open_dataset(source).records
    with (out / "cases.csv").open("w", newline="") as file:
        rows = [(r.case_id, r.case_id, r.patient_id, r.site, r.split) for r in records]
        csv.writer(file).writerows([("file", "case_id", "patient_id", "site", "split"), *rows])
    with (out / "rated.csv").open("w", newline="") as file:
        rows = [(r.case_id, x.rater, x.rated) for r in records for x in r.readings]
        csv.writer(file).writerows([("case_id", "rater", "rated"), *rows])
    return ("--cases", out / "cases.csv", "--rated", out / "rated.csv", "--labels", source / "dataset.yaml")


def same(one, other):
    assert one.info.labels == other.info.labels
    for a, b, x, y in zip(one, other, one.records, other.records, strict=True):
        assert (a.case_id, a.patient_id, a.site, x.split) == (b.case_id, b.patient_id, b.site, y.split)
        assert_array_equal(a.image, b.image)
        assert a.image.dtype == b.image.dtype and a.geometry.close_to(b.geometry)
        assert list(a.masks) == list(b.masks)
        for rater in a.masks:
            assert_array_equal(a.masks[rater], b.masks[rater])
            assert_array_equal(a.rated_by(rater), b.rated_by(rater))


@pytest.mark.journey
def test_dicom_and_nifti_masks(synthetic, tmp_path):
    words = ("--masks", f"{synthetic}/masks/{{case}}/{{rater}}.nii.gz", *tables(synthetic, tmp_path))
    assert main([str(w) for w in ("import", "dicom", synthetic / "images", *words, "--out", tmp_path / "d")]) == 0
    same(open_dataset(synthetic), open_dataset(tmp_path / "d"))
    assert main(["check", str(tmp_path / "d")]) == 0


@pytest.mark.journey
def test_files_turned_about(synthetic, tmp_path):
    """Images as NIfTI stored from head to feet, masks as NIfTI stored from left to right."""
    down = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
    across = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    dataset = open_dataset(synthetic)
    for case in dataset:
        nifti.write(tmp_path / "ct" / f"{case.case_id}.nii.gz", case.image, case.geometry, turned(case, down))
        for rater, mask in case.masks.items():
            path = tmp_path / "masks" / rater / f"{case.case_id}.nii.gz"
            nifti.write(path, dataset.info.labels.decode(mask), case.geometry, turned(case, across))
    words = ("--masks", f"{tmp_path}/masks/{{rater}}/{{case}}.nii.gz", *tables(synthetic, tmp_path))
    assert main([str(w) for w in ("import", "nifti", tmp_path / "ct", *words, "--out", tmp_path / "d")]) == 0
    same(dataset, open_dataset(tmp_path / "d"))


def turned(case, goal):
    from probseg.case import reorient

    return reorient(np.zeros(case.geometry.shape, np.uint8), case.geometry, goal)[1]


@pytest.mark.journey
def test_dicom_segmentations(synthetic, tmp_path):
    """Each rater's classes as segments of one DICOM-SEG a case, as a PACS would give them."""
    hd = pytest.importorskip("highdicom")
    from highdicom.sr.coding import CodedConcept
    from pydicom import dcmread

    dataset = open_dataset(synthetic)
    code = CodedConcept("49755003", "SCT", "Morphologically abnormal structure")
    for record, case in zip(dataset.records, dataset, strict=True):
        sources = [dcmread(p) for p in sorted((synthetic / record.image).iterdir())]
        for rater, mask in case.masks.items():
            names = [(k, dataset.info.labels.names[k]) for k in range(1, dataset.info.labels.num_classes)]
            drawn = [(k, name) for k, name in names if (mask == k).any()] or names[:1]
            described = [
                hd.seg.SegmentDescription(n, name, code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
                for n, (_, name) in enumerate(drawn, start=1)
            ]
            pixels = np.stack([mask == k for k, _ in drawn], axis=-1).astype(np.uint8)
            path = tmp_path / "seg" / f"{record.case_id}_{rater}.dcm"
            path.parent.mkdir(exist_ok=True)
            hd.seg.Segmentation(
                sources, pixels, hd.seg.SegmentationTypeValues.BINARY, described, hd.UID(), 1, hd.UID(), 1,
                "probseg", "test", "1", "0", omit_empty_frames=False,
            ).save_as(path)  # fmt: skip
    words = ("--masks", f"{tmp_path}/seg/{{case}}_{{rater}}.dcm", *tables(synthetic, tmp_path))
    assert main([str(w) for w in ("import", "dicom", synthetic / "images", *words, "--out", tmp_path / "d")]) == 0
    made = open_dataset(tmp_path / "d")
    groups = range(dataset.info.labels.num_classes, len(dataset.info.labels.values))
    for a, b in zip(dataset, made, strict=True):
        for rater, mask in a.masks.items():
            leaf = np.where(
                np.isin(mask, list(groups)), 0, mask
            )  # a group that was drawn has no segment of its own here
            assert_array_equal(b.masks[rater], leaf)
