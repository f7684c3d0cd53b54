from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from probseg.adapting import NormalisationStatistics, SiteData
from probseg.adapting.normalisation_statistics import _Moments, mixed
from probseg.errors import ProbsegError
from probseg.models import SegmentationModule
from tests.adapting.conftest import blobs, unet_model


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


def test_mixture_by_hand():
    # N = 16 images of the source, n = 4 of the target: 16/20 and 4/20
    assert float(mixed(torch.tensor(2.0), torch.tensor(7.0), 16, 4)) == pytest.approx(0.8 * 2 + 0.2 * 7)
    assert float(mixed(torch.tensor(2.0), torch.tensor(7.0), 0, 4)) == 7.0  # the source is forgotten


class OneLayer(nn.Module):
    """Batch norm of the image itself, so that its input is known, and a head of two classes."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(image))


def test_a_layer_by_hand(site_of: Callable[..., SiteData]):
    model = unet_model()
    model.network = OneLayer().eval()
    model.network.norm.running_mean.fill_(0.1)
    model.network.norm.running_var.fill_(0.5)
    # Two images of 2 x 2: mean (0 + 0 + 1 + 1 + 0.5 * 4) / 8 = 0.5, variance (4 * 0.25 + 4 * 0) / 8 = 0.125.
    images = np.array([[[0, 0], [1, 1]], [[0.5, 0.5], [0.5, 0.5]]], dtype=np.float32)
    done = NormalisationStatistics(pseudo_count=6, batch_size=1)(model, site_of(images), 0)
    # N / (N + n) = 6/8: mean 0.75 * 0.1 + 0.25 * 0.5 = 0.2, variance 0.75 * 0.5 + 0.25 * 0.125 = 0.40625
    assert model.network.norm.running_mean.item() == pytest.approx(0.2)
    assert model.network.norm.running_var.item() == pytest.approx(0.40625)
    assert done.done["layers"] == 1 and done.done["images"] == 2 and done.steps == 0
    assert done.done["shift"] == pytest.approx(0.1 / (0.5 + 1e-5) ** 0.5)


def test_moments_over_batches_are_those_of_all():
    x = torch.randn(7, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 + 5
    moments = _Moments()
    for part in x.split([2, 4, 1]):
        moments.add(part)
    mean, variance = moments.both
    torch.testing.assert_close(mean.float(), x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(variance.float(), x.var(dim=(0, 2, 3), correction=0))


def test_statistics_are_those_that_prediction_runs_through(
    trained: SegmentationModule, site_of: Callable[..., SiteData]
):
    """With the source forgotten, every layer's input has mean and variance of its statistics, however deep it lies."""
    model = copy.deepcopy(trained)
    images = blobs(12, seed=2, contrast=0.6, offset=0.15)
    NormalisationStatistics(pseudo_count=0)(model, site_of(images), 0)
    seen: dict[int, torch.Tensor] = {}
    for k, norm in enumerate(norms_of(model)):
        norm.register_forward_pre_hook(lambda module, args, k=k: seen.__setitem__(k, args[0].detach()))
    with torch.no_grad():
        model.network(torch.from_numpy(images)[:, None])
    for k, norm in enumerate(norms_of(model)):
        torch.testing.assert_close(norm.running_mean, seen[k].mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, seen[k].var(dim=(0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)


def test_a_second_estimate_of_the_same_site_changes_nothing(
    trained: SegmentationModule, site_of: Callable[..., SiteData]
):
    """What is estimated is a fixed point: the law of a model at its own site."""
    model, site = copy.deepcopy(trained), site_of(blobs(32, seed=3))
    method = NormalisationStatistics(pseudo_count=0)
    method(model, site, 0)
    assert method(model, site, 0).done["shift"] < 1e-4


def test_its_own_site_moves_it_less_than_another_and_a_shifted_one_is_put_right(
    trained: SegmentationModule, site_of: Callable[..., SiteData]
):
    own, other = blobs(64, seed=4), blobs(64, seed=4, contrast=0.5, offset=0.2)
    truth = own > 0.5
    shifts = {}
    for name, images in (("own", own), ("other", other)):
        model = copy.deepcopy(trained)
        shifts[name] = NormalisationStatistics()(model, site_of(images), 0).done["shift"]
        if name == "other":
            before, after = (foreground_error(m, images, truth) for m in (trained, model))
            assert after < before
    assert shifts["own"] < 0.25 * shifts["other"]


def foreground_error(model: SegmentationModule, images: np.ndarray, truth: np.ndarray) -> float:
    with torch.no_grad():
        found = model.network(torch.from_numpy(images)[:, None]).argmax(dim=1).numpy() == 1
    return float((found != truth).mean())


def test_more_images_weigh_more(trained: SegmentationModule, site_of: Callable[..., SiteData]):
    shifts = []
    for number in (1, 8, 64):
        model = copy.deepcopy(trained)
        images = blobs(64, seed=5, offset=0.2)
        shifts.append(NormalisationStatistics(images=number)(model, site_of(images), 0).done["shift"])
    assert all(a < b for a, b in pairwise(shifts))


def test_no_weight_changes_and_the_batch_size_tells_nothing(
    trained: SegmentationModule, site_of: Callable[..., SiteData]
):
    images = blobs(10, seed=6, offset=0.1)
    one, many = copy.deepcopy(trained), copy.deepcopy(trained)
    NormalisationStatistics(batch_size=1)(one, site_of(images), 0)
    NormalisationStatistics(batch_size=7)(many, site_of(images), 0)
    for (name, a), b in zip(one.state_dict().items(), many.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        statistic = name.endswith(("running_mean", "running_var"))
        assert statistic != torch.equal(a, trained.state_dict()[name]), name
    assert not one.training


def test_a_model_without_batch_norm_is_refused_in_one_line(site_of: Callable[..., SiteData]):
    with pytest.raises(ProbsegError, match="E_USAGE: this Deterministic has no batch norm"):
        NormalisationStatistics()(unet_model(norm="group"), site_of(blobs(2)), 0)


@pytest.mark.parametrize("wrong", [{"pseudo_count": -1.0}, {"images": 0}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        NormalisationStatistics(**wrong)  # type: ignore[arg-type]
