from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from probseg.adapting import EntropyMinimisation, SiteData
from probseg.adapting.entropy_minimisation import _entropy, affine_parameters
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.models import SegmentationModule
from tests.adapting.conftest import blobs, unet_model


@pytest.fixture(scope="module")
def site(site_of: Callable[..., SiteData]) -> SiteData:
    return site_of(blobs(16, seed=7, contrast=0.6, offset=0.1))


def test_entropy_by_hand_and_its_gradient_is_a_number_at_zero():
    p = torch.tensor([[0.5, 1.0], [0.5, 0.0]], requires_grad=True)[None]  # (batch, classes, voxels)
    entropy = _entropy(p)
    torch.testing.assert_close(entropy[0], torch.tensor([0.6931472, 0.0]), atol=2e-6, rtol=0)
    (gradient,) = torch.autograd.grad(entropy.sum(), p)
    assert bool(torch.isfinite(gradient).all())


def test_entropy_falls_and_only_scales_and_offsets_change(trained: SegmentationModule, site: SiteData):
    model = copy.deepcopy(trained)
    adapted = EntropyMinimisation(steps=8, learning_rate=0.01, most_change=9.0)(model, site, 0)
    assert adapted.done["entropy_after"] < adapted.done["entropy_before"]
    assert adapted.steps == 8 and adapted.done["stopped_by_guard"] is False
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, trained.state_dict()[n])}
    affine = {id(p) for p in affine_parameters(model)}
    assert changed and changed <= {n for n, p in model.named_parameters() if id(p) in affine}
    assert all(p.requires_grad and p.grad is None for p in model.parameters()) and not model.training


def test_the_guard_takes_back_what_empties_the_prediction(trained: SegmentationModule, site: SiteData):
    model = copy.deepcopy(trained)
    with pytest.warns(ProbsegWarning, match=r"W_COLLAPSE: the expected foreground changed by more than 5%"):
        adapted = EntropyMinimisation(steps=200, learning_rate=0.05, most_change=0.05, images=8)(model, site, 0)
    assert adapted.done["stopped_by_guard"] is True and adapted.steps < 200
    assert 1 / 1.06 < adapted.done["foreground_ratio"] < 1.06  # one batch holds all images, so the guard saw all


def test_the_trap_without_the_guard(trained: SegmentationModule, site: SiteData):
    """Enough steps without it change the foreground by far more: the guard guards against something."""
    adapted = EntropyMinimisation(steps=60, learning_rate=0.05, most_change=1e6)(copy.deepcopy(trained), site, 0)
    assert adapted.done["entropy_after"] < 0.5 * adapted.done["entropy_before"]
    assert abs(adapted.done["foreground_ratio"] - 1) > 0.2


@pytest.mark.parametrize(
    ("family", "arguments"),
    [("MonteCarloDropout", {"dropout": 0.2}), ("StochasticSegmentation", {"samples": 2, "rank": 2})],
)
def test_families_of_many_draws_and_other_norms(family: str, arguments: dict[str, Any], site: SiteData):
    for norm in ("batch", "group"):
        model = unet_model(family, norm=norm, **arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            adapted = EntropyMinimisation(steps=3, images=8, most_change=9.0)(model, site, 0)
        assert adapted.done["entropy_after"] < adapted.done["entropy_before"]


def test_nothing_to_scale_is_refused_in_one_line(site: SiteData):
    model = unet_model()
    model.network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    with pytest.raises(ProbsegError, match="E_USAGE: this Deterministic has no normalisation layer"):
        EntropyMinimisation()(model, site, 0)


def test_a_family_of_collected_weights_is_refused(site: SiteData):
    member = {"class_path": "probseg.models.Deterministic", "init_args": {"network": "probseg.networks.UNet"}}
    from probseg.models.loading import build_model

    model = build_model({"class_path": "probseg.models.SWAG", "init_args": {"member": member}})
    with pytest.raises(ProbsegError, match="E_USAGE: SWAG predicts with weights collected"):
        EntropyMinimisation()(model, site, 0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"region": 1.0}, {"most_change": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        EntropyMinimisation(**wrong)  # type: ignore[arg-type]
