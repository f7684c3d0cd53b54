"""The encoder of prior and posterior."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.networks import GaussianEncoder


@pytest.mark.parametrize("space", [(16, 16), (5, 9), (4, 6, 7)])
def test_a_gaussian_close_to_standard_at_the_start(space):
    torch.manual_seed(0)
    gaussian = GaussianEncoder(2, 5, (4, 8), len(space)).eval()(torch.rand(3, 2, *space))
    assert gaussian.batch_shape == (3,) and gaussian.event_shape == (5,)
    assert gaussian.base_dist.loc.abs().max() < 0.5
    assert (gaussian.base_dist.scale - 1).abs().max() < 0.3


def test_the_log_variance_is_clamped_and_the_mean_is_not():
    encoder = GaussianEncoder(1, 2, (4,), log_variance=(-2.0, 1.0)).eval()
    torch.nn.init.zeros_(encoder.moments.weight)
    with torch.no_grad():
        encoder.moments.bias.copy_(torch.tensor([50.0, -50.0, 50.0, -50.0]))
    base = encoder(torch.rand(1, 1, 8, 8)).base_dist
    assert base.loc.tolist() == [[50, -50]]
    assert base.scale[0].tolist() == pytest.approx([math.exp(0.5), math.exp(-1)])


def test_float32_under_autocast():
    encoder = GaussianEncoder(1, 2, (4, 8)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        base = encoder(torch.rand(2, 1, 16, 16)).base_dist
    assert base.loc.dtype == base.scale.dtype == torch.float32


def test_a_full_covariance_has_the_variances_of_a_diagonal_one_and_correlations_beside():
    torch.manual_seed(0)
    encoder = GaussianEncoder(1, 3, (4,), covariance="full").eval()
    assert encoder.moments.out_features == 2 * 3 + 3
    torch.nn.init.zeros_(encoder.moments.weight)
    with torch.no_grad():
        encoder.moments.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 2 * math.log(0.5), 0.1, 0.2, 0.3]))
    gaussian = encoder(torch.rand(2, 1, 8, 8))
    assert gaussian.batch_shape == (2,) and gaussian.event_shape == (3,)
    assert gaussian.mean[0].tolist() == [1, 2, 3]
    expected = torch.tensor([[1.0, 0, 0], [0.1, 1, 0], [0.2, 0.3, 0.5]])
    torch.testing.assert_close(gaussian.scale_tril[1], expected)
    torch.testing.assert_close(gaussian.covariance_matrix[1], expected @ expected.T)


def test_a_small_mask_moves_the_latent_more_with_the_maximum_than_with_the_mean():
    moved = {}
    for pooling in ("mean", "mean_max"):
        torch.manual_seed(0)
        encoder = GaussianEncoder(1, 4, (8, 16), pooling=pooling).eval()
        small = torch.zeros(1, 1, 64, 64)
        small[..., 30:34, 30:34] = 1.0
        moved[pooling] = (encoder(small).mean - encoder(torch.zeros_like(small)).mean).norm().item()
    assert moved["mean_max"] > 5 * moved["mean"]


def test_closed_options():
    for wrong in ({"covariance": "spherical"}, {"pooling": "max"}):
        with pytest.raises(
            ProbsegError, match="covariance must be one of diagonal, full and pooling one of mean, mean_m"
        ):
            GaussianEncoder(1, 2, (4,), **wrong)
