"""Matrices of raters against slow loops: rows are the truth, voxels of a folded position share one, padding is none."""

from __future__ import annotations

import pytest
import torch

from probseg.networks import ConfusionMatrices, UNet


def excited(matrices: ConfusionMatrices) -> ConfusionMatrices:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in matrices.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
    return matrices


def build(dimensions: int = 2, fold: int = 2, hidden: int = 3) -> tuple[UNet, ConfusionMatrices]:
    torch.manual_seed(0)
    network = UNet(1, 3, (4, 8), dimensions, fold=fold).eval()
    return network, excited(ConfusionMatrices(4, network, hidden))


@pytest.mark.parametrize("hidden", [0, 5])
def test_they_start_near_the_identity_in_every_voxel(hidden):
    network = UNet(1, 3, (4, 8))
    matrices = ConfusionMatrices(2, network, hidden, sure=0.9)
    found = matrices(torch.tensor([[0, 1]]), network.features(torch.rand(1, 1, 8, 8)))
    expected = 0.85 * torch.eye(3) + 0.05  # 0.9 on the diagonal, 0.05 elsewhere
    torch.testing.assert_close(found, expected.reshape(1, 1, 3, 3, 1, 1).expand_as(found))


@pytest.mark.parametrize(
    ("dimensions", "space", "fold"),
    [(2, (8, 8), 2), (2, (7, 5), 2), (2, (7, 5), 1), (3, (4, 5, 6), 2), (3, (3, 4, 4), 1)],
)
def test_every_voxel_has_the_matrix_of_its_position(dimensions, space, fold):
    network, matrices = build(dimensions, fold)
    features = network.features(torch.rand(2, 1, *space))
    found = matrices(torch.tensor([[0, 3], [2, 2]]), features)
    assert found.shape == (2, 2, 3, 3, *features.shape[2:])
    torch.testing.assert_close(found.sum(dim=3), torch.ones_like(found[:, :, :, 0]))
    probs = torch.rand(2, 3, *space).softmax(dim=1)
    called = matrices.applied(found, probs)
    assert called.shape == (2, 2, 3, *space)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in space)).tolist():
        position = tuple(p // fold for p in place)
        for b in range(2):
            for m in range(2):
                a = found[(b, m, slice(None), slice(None), *position)]  # rows: the truth
                expected = probs[(b, slice(None), *place)] @ a
                torch.testing.assert_close(called[(b, m, slice(None), *place)], expected)


@pytest.mark.parametrize("seed", range(5))
def test_in_every_voxel_the_diagonal_is_the_largest_of_its_row(seed):
    _, matrices = build()
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in matrices.parameters():
            value.normal_(std=5.0)
    found = matrices(torch.tensor([[0, 1, 2, 3, -1]]), 10 * torch.randn(1, 4, 8, 8))
    assert found.std(dim=(4, 5)).max() > 0.1, "they differ from voxel to voxel"
    diagonal = found.diagonal(dim1=2, dim2=3).movedim(-1, 2)
    assert (found.amax(dim=3) <= diagonal + 1e-6).all()


def test_one_matrix_a_rater_needs_no_features():
    _, matrices = build(hidden=0)
    found = matrices(torch.tensor([[1, 0]]), None)
    assert found.shape == (1, 2, 3, 3, 1, 1)
    probs = torch.rand(1, 3, 5, 6).softmax(dim=1)
    torch.testing.assert_close(
        matrices.applied(found, probs)[0, 1], torch.einsum("ij,ihw->jhw", found[0, 1, :, :, 0, 0], probs[0])
    )


def test_features_coarser_than_their_network_says_are_spread():
    network, matrices = build(fold=1)
    found = matrices(torch.tensor([[0]]), network.features(torch.rand(1, 1, 4, 4)))
    probs = torch.rand(1, 3, 8, 8).softmax(dim=1)
    called = matrices.applied(found, probs)
    assert called.shape == (1, 1, 3, 8, 8)
    torch.testing.assert_close(called.sum(dim=2), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("hidden", [0, 3])
def test_a_stranger_has_the_mean_of_all_raters(hidden):
    network, matrices = build(hidden=hidden)
    features = network.features(torch.rand(1, 1, 8, 8))
    every = matrices(torch.tensor([[0, 1, 2, 3]]), features)
    both = matrices(torch.tensor([[2, -1]]), features)
    torch.testing.assert_close(both[:, 1], every.mean(dim=1))
    torch.testing.assert_close(both[:, 0], every[:, 2])


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_average_counts_voxels_by_how_likely_they_are_of_the_class(hidden):
    space = (7, 5)  # padded to 8 x 8 before it is folded
    network, matrices = build(hidden=hidden)
    found = matrices(torch.tensor([[0, 3], [2, 2]]), network.features(torch.rand(2, 1, *space)))
    probs = torch.rand(2, 3, *space).softmax(dim=1)
    weight = torch.rand(2, 2, *space) * (torch.rand(2, 2, *space) < 0.7)
    total, mass = torch.zeros(3, 3), torch.zeros(3)
    for b in range(2):
        for m in range(2):
            for y in range(space[0]):
                for x in range(space[1]):
                    a = found[b, m, :, :, *((y // 2, x // 2) if hidden else (0, 0))]
                    total += weight[b, m, y, x] * probs[b, :, y, x, None] * a
                    mass += weight[b, m, y, x] * probs[b, :, y, x]
    torch.testing.assert_close(matrices.average(found, probs, weight), total / mass[:, None])
    assert (matrices.average(found, probs, 0 * weight) == 0).all()


def test_autocast_leaves_probabilities_alone():
    network, matrices = build()
    image, probs = torch.rand(1, 1, 8, 8), torch.rand(1, 3, 8, 8).softmax(dim=1)
    features = network.features(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        called = matrices.applied(matrices(torch.tensor([[0]]), features), probs)
    assert called.dtype == torch.float32
    torch.testing.assert_close(called.sum(dim=2), torch.ones(1, 1, 8, 8), atol=1e-5, rtol=0)
