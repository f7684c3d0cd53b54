from __future__ import annotations

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest

from probseg.case import Case, Geometry
from probseg.io.predicted_distribution import PredictedDistribution
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import DatasetInfo
from probseg.report.viewer.layers import ViewedCase, viewed_case

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "glass")), (LabelGroup("opacity", ("glass",)),)
)
INFO = DatasetInfo("toy", 3, LABELS, (-1000.0, 50.0))
GRID = Geometry((3, 8, 10), (2.0, 1.0, 1.0))


@pytest.fixture
def case() -> Case:
    """On slice 1 anna draws two columns of glass and bob four; bob did not look at slice 2."""
    masks = {}
    for rater, width in (("anna", 2), ("bob", 4)):
        masks[rater] = np.ones(GRID.shape, np.uint8)
        masks[rater][1, 2:5, 3 : 3 + width] = 2
    rated = {"bob": np.array([True, True, False])[:, None, None] & np.ones(GRID.shape, bool)}
    return Case("c", "p", "", np.full(GRID.shape, -800, np.int16), masks, GRID, rated)


@pytest.fixture
def prediction(case: Case) -> PredictedDistribution:
    mean = np.zeros((3, *GRID.shape), np.float32)
    mean[2] = 0.25
    mean[0] = 0.75
    maps = {n: np.full(GRID.shape, v, np.float32) for n, v in zip(("entropy", "epistemic"), (0.5, 0.0), strict=True)}
    maps |= {"ambiguity": maps["entropy"] * 0.4, "noise": maps["entropy"] * 0.6}
    readings = np.stack([case.masks["anna"], case.masks["bob"]])
    return PredictedDistribution(mean, case.masks["bob"], readings, maps, 2, np.zeros((2, 3)))


def voxels(viewed: ViewedCase, label: str) -> np.ndarray:
    """``(slices, rows, columns)`` of a layer."""
    text = next(x.text for x in viewed.layers if x.label == label)
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text))).dataobj).T


def test_every_layer_is_what_it_is_called(case: Case, prediction: PredictedDistribution) -> None:
    viewed = viewed_case(case, INFO, prediction, "opacity", 1.0)
    assert [layer.label for layer in viewed.layers] == [
        *("scan", "probability of opacity", "entropy", "epistemic (0 everywhere)", "ambiguity", "noise"),
        *("share of raters who drew opacity", "mode", "anna", "bob (looked at 2 of 3 slices)", "readings of the model"),
    ]
    np.testing.assert_array_equal(voxels(viewed, "scan"), -800)
    np.testing.assert_allclose(voxels(viewed, "probability of opacity"), 0.25, atol=1 / 500)
    np.testing.assert_array_equal(voxels(viewed, "anna"), case.masks["anna"])
    assert (voxels(viewed, "bob (looked at 2 of 3 slices)")[2] == 0).all()
    share = voxels(viewed, "share of raters who drew opacity")
    assert share[1, 3, 3] == pytest.approx(1.0) and share[1, 3, 6] == pytest.approx(0.5, abs=1 / 255)
    assert viewed.notes == () and [w[0] for w in viewed.windows] == ["as the model sees it", "lung", "mediastinum"]


def test_it_begins_where_raters_differ(case: Case, prediction: PredictedDistribution) -> None:
    # they differ on slice 1, rows 2 to 4, columns 5 and 6: RAS of (column 5, row 3, slice 1) is (-5, -3, 2)
    assert viewed_case(case, INFO, prediction, "opacity", 1.0).place_mm == (-5.0, -3.0, 2.0)


def test_raters_alone_and_raters_without_names(case: Case) -> None:
    viewed = viewed_case(case, DatasetInfo("toy", 3, LABELS, (0.0, 255.0), stable_raters=False), None, "opacity", 1.0)
    labels = [layer.label for layer in viewed.layers]
    assert labels[2:] == ["reading 1 of the raters", "reading 2 of the raters (looked at 2 of 3 slices)"]
    assert viewed.notes == ("no prediction of this case was given",)
    assert [w[0] for w in viewed.windows] == ["as the model sees it"]  # no Hounsfield units, no window of the lung


def test_coarse_says_what_it_costs(case: Case, prediction: PredictedDistribution) -> None:
    viewed = viewed_case(case, INFO, prediction, "opacity", 1.0, coarse=True)
    assert voxels(viewed, "scan").shape == (3, 4, 5)
    assert viewed.notes[0] == "coarser than the scan: every second row and every second column"
    assert viewed.notes[1].startswith("intensities in steps of")
    np.testing.assert_array_equal(voxels(viewed, "anna"), case.masks["anna"][:, ::2, ::2])


def test_a_single_image_without_scan(case: Case) -> None:
    flat = Geometry((8, 10), None)
    masks = {r: m[1] for r, m in case.masks.items()}
    single = Case("s", "s", "", np.zeros((0, 8, 10), np.int16), masks, flat)
    viewed = viewed_case(single, DatasetInfo("toy", 2, LABELS, (0.0, 1.0)), None, "opacity", 1.0)
    assert viewed.flat and viewed.layers[0].label == "share of raters who drew opacity"
    assert "the dataset holds annotations without images" in viewed.notes
    np.testing.assert_array_equal(voxels(viewed, "anna")[0], masks["anna"])
