from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from probseg.case import Case, Geometry
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.inference import ScanPrediction, predict_scan
from probseg.inference import scan as scan_module
from probseg.inference.scan import space_axes
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.models import SegmentationModule

Make = Callable[..., SegmentationModule]
WINDOWS = {2: None, 3: (4, 8, 8)}
FAMILIES = ("Deterministic", "MonteCarloDropout", "Ensemble", "ProbabilisticUNet")


def assert_same(a: ScanPrediction, b: ScanPrediction, atol: float = 1e-5) -> None:
    for name in ("mean", *UNCERTAINTY_MAPS):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol)
    np.testing.assert_allclose(a.draw_expected, b.draw_expected, rtol=1e-5)
    assert (a.mode != b.mode).mean() < 1e-3


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_laws_of_maps_and_volumes(make_model: Make, scan: Case, family: str, dimensions: int) -> None:
    model = make_model(family, dimensions)
    p = predict_scan(model, scan, Draws(6), readings=1, window=WINDOWS[dimensions])
    draws = {"Deterministic": 1, "Ensemble": 2}.get(family, 6)
    assert p.mean.shape == (3, 7, 13, 18) and p.mode.shape == p.entropy.shape == (7, 13, 18)
    np.testing.assert_allclose(p.mean.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(p.entropy, p.epistemic + p.ambiguity + p.noise, atol=1e-5)
    assert (p.mode == p.mean.argmax(axis=0)).all()
    assert (p.draw_counts.sum(axis=1) == scan.image.size).all() and p.draw_counts.shape == (draws, 3)
    # the expected volumes of the draws are those of the mean
    np.testing.assert_allclose(p.draw_expected.mean(axis=0), p.mean.sum(axis=(1, 2, 3), dtype=np.float64), rtol=1e-5)
    assert p.volumes_ml.shape == (draws, 3)
    np.testing.assert_allclose(p.volumes_ml[:, 2], p.volumes_ml[:, :2].sum(axis=1))
    np.testing.assert_allclose(p.volumes_ml[:, 0], p.draw_expected[:, 1] * 0.0005)
    # the first reading kept is that of draw 0
    assert np.bincount(p.readings[0].ravel(), minlength=3).tolist() == p.draw_counts[0].tolist()
    if family in ("MonteCarloDropout", "Ensemble"):
        assert p.epistemic.max() > 2e-5 and abs(p.ambiguity).max() < 1e-6  # an untrained network differs little
    if family == "ProbabilisticUNet":
        assert p.ambiguity.max() > 1e-4 and abs(p.epistemic).max() < 1e-5


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_size_changes_nothing(make_model: Make, scan: Case, family: str, dimensions: int) -> None:
    model = make_model(family, dimensions)
    one, three, all_ = (
        predict_scan(model, scan, Draws(3), batch_size=n, window=WINDOWS[dimensions]) for n in (1, 3, 100)
    )
    assert_same(one, three)
    assert_same(one, all_)


@pytest.mark.parametrize("family", FAMILIES)
def test_slice_by_slice_equals_the_whole_stack_at_once(make_model: Make, scan: Case, family: str) -> None:
    model = make_model(family)
    p = predict_scan(model, scan, Draws(4), batch_size=2)
    assert model.info is not None
    with torch.inference_mode():
        whole = model(torch.from_numpy(model.info.normalise(scan.image))[:, None], Draws(4))
    np.testing.assert_allclose(p.mean, whole.mean.transpose(0, 1).numpy(), atol=1e-5)
    np.testing.assert_allclose(p.entropy, whole.entropy.numpy(), atol=1e-5)
    counts = torch.stack([(whole.readings() == c).flatten(1).sum(dim=1) for c in range(3)], dim=1)
    assert abs(p.draw_counts - counts.numpy()).max() <= 1


def test_one_window_over_all_equals_the_network(make_model: Make, scan: Case) -> None:
    model = make_model("ProbabilisticUNet", 3)
    p = predict_scan(model, scan, Draws(4), window=(7, 13, 18))
    assert model.info is not None
    with torch.inference_mode():
        whole = model(torch.from_numpy(model.info.normalise(scan.image))[None, None], Draws(4))
    np.testing.assert_allclose(p.mean, whole.mean[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(p.ambiguity, whole.ambiguity[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_of_a_2d_network(make_model: Make, scan: Case, family: str) -> None:
    model = make_model(family)
    whole = predict_scan(model, scan, Draws(3))
    one = predict_scan(model, scan, Draws(3), window=(13, 18))  # a window over the whole slice
    assert_same(whole, one)
    several = predict_scan(model, scan, Draws(3), window=(8, 8), overlap=0.5, batch_size=4)
    np.testing.assert_allclose(several.mean.sum(axis=0), 1, atol=1e-5)
    assert 0 < abs(several.mean - whole.mean).max() < 0.5  # borders are seen otherwise
    with pytest.raises(ProbsegError, match="a window of a 2-D network has 2 sizes, but 3 are given"):
        predict_scan(model, scan, Draws(3), window=(4, 8, 8))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_reduced_in_blocks(
    make_model: Make, scan: Case, family: str, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(family, dimensions)
    whole = predict_scan(model, scan, Draws(3), readings=1, window=WINDOWS[dimensions])
    monkeypatch.setattr(scan_module, "_BLOCK", 1)  # a row at a time
    rows = predict_scan(model, scan, Draws(3), readings=1, window=WINDOWS[dimensions])
    assert_same(whole, rows, atol=1e-6)  # sums of other lengths, rounded otherwise
    assert (whole.readings == rows.readings).all() and (whole.draw_counts == rows.draw_counts).all()


@pytest.mark.parametrize("family", ["MonteCarloDropout", "ProbabilisticUNet"])
def test_draws_are_coherent_over_slices(make_model: Make, scan: Case, family: str) -> None:
    # Were every slice drawn on its own, the volumes of a draw would average out over slices: their spread over draws
    # shrinks towards 1 / sqrt(slices) of the coherent one.
    model = make_model(family)
    deep = replace(scan, image=np.tile(scan.image, (4, 1, 1)), geometry=Geometry((28, 13, 18), (2.0, 0.5, 0.5)))
    coherent = predict_scan(model, deep, Draws(48)).draw_expected[:, 1]
    slices = [
        replace(deep, image=deep.image[k : k + 1], geometry=Geometry((1, 13, 18), (2.0, 0.5, 0.5))) for k in range(28)
    ]
    apart = sum(predict_scan(model, s, Draws(48, seed=100 + k)).draw_expected[:, 1] for k, s in enumerate(slices))
    assert coherent.std() > 3 * np.std(apart)  # sqrt(28) = 5.3
    np.testing.assert_allclose(coherent.mean(), np.mean(apart), rtol=0.15)


def test_a_seed_is_a_set_of_draws(make_model: Make, scan: Case) -> None:
    model = make_model("ProbabilisticUNet")
    a, b, c = (predict_scan(model, scan, Draws(4, seed)) for seed in (1, 1, 2))
    assert (a.mean == b.mean).all() and (a.mean != c.mean).any()


def test_readings_are_spread_over_the_draws(make_model: Make, scan: Case) -> None:
    p = predict_scan(make_model("MonteCarloDropout"), scan, Draws(6), readings=3)
    assert p.readings.shape == (3, 7, 13, 18)
    for kept, draw in enumerate((0, 2, 4)):
        assert np.bincount(p.readings[kept].ravel(), minlength=3).tolist() == p.draw_counts[draw].tolist()


def test_a_single_image_keeps_its_two_axes(make_model: Make, scan: Case) -> None:
    flat = Case("flat", "p", "", scan.image[0], {}, Geometry((13, 18), (0.5, 0.5), slice_thickness_mm=2.0))
    model = make_model("ProbabilisticUNet", info_dimensions=2)
    p, deep = predict_scan(model, flat, Draws(3), readings=2), predict_scan(model, scan, Draws(3), readings=2)
    assert p.mean.shape == (3, 13, 18) and p.readings.shape == (2, 13, 18)
    np.testing.assert_allclose(p.mean, deep.mean[:, 0], atol=1e-5)
    np.testing.assert_allclose(p.volumes_ml[:, 0], p.draw_expected[:, 1] * 0.0005)


def test_progress_ends_with_the_last_slice(make_model: Make, scan: Case) -> None:
    seen: list[tuple[int, int]] = []
    predict_scan(make_model("Deterministic"), scan, Draws(1), batch_size=3, progress=lambda *a: seen.append(a))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_autocast_outside_changes_nothing(make_model: Make, scan: Case) -> None:
    model = make_model("Deterministic")
    plain = predict_scan(model, scan, Draws(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (predict_scan(model, scan, Draws(1)).mean == plain.mean).all()


def test_faults_are_named(make_model: Make, scan: Case) -> None:
    model = make_model("Deterministic")
    flat = Case("flat", "p", "", scan.image[0], {}, Geometry((13, 18), (0.5, 0.5)))
    with pytest.raises(ProbsegError, match=r"E_ARGUMENT.*2 readings.*1 draw"):
        predict_scan(model, scan, Draws(8), readings=2)
    with pytest.raises(ProbsegError, match="E_NDIM"):
        predict_scan(make_model("Deterministic", 3), flat, Draws(1))
    with pytest.raises(ProbsegError, match=r"E_ARGUMENT.*evaluation mode"):
        predict_scan(model.train(), scan, Draws(1))


def test_axes_are_read_off_the_first_convolution(make_model: Make) -> None:
    assert [space_axes(make_model(f, d)) for f in ("Ensemble", "ProbabilisticUNet") for d in (2, 3)] == [2, 3, 2, 3]
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        space_axes(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("dtype", [">i2", "uint16", "float64", ">f4"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_numbers_of_every_kind_and_order(make_model: Make, scan: Case, dimensions: int, dtype: str) -> None:
    model = make_model("Deterministic", dimensions)
    expected = predict_scan(model, scan, Draws(1))
    stored = replace(scan, image=scan.image[::-1].astype(dtype)[::-1])  # a view that runs backwards, too
    assert_same(predict_scan(model, stored, Draws(1)), expected, atol=0)
