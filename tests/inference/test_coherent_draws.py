"""Draw k is one function for every slice and window of a scan, so that volumes of a draw add up over slices."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import probseg.models
from probseg.batch import Example, collate
from probseg.case import Case, Geometry
from probseg.distribution import Draws
from probseg.inference import predict_scan, slice_by_slice, sliding_window
from probseg.labels import LabelClass, LabelSet
from probseg.models import (
    SWAG,
    Deterministic,
    ProbabilisticUNet,
    RaterConditioned,
    RaterConfusion,
    SegmentationModule,
    SnapshotEnsemble,
    TestTimeAugmentation,
)
from probseg.networks import UNet
from probseg.networks.divergence import at_noise
from probseg.records import DatasetInfo

_spec = importlib.util.spec_from_file_location(
    "families_of_test_base", Path(__file__).parents[1] / "models" / "test_base.py"
)
assert _spec is not None and _spec.loader is not None
_base = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_base)

INFO = DatasetInfo(
    "toy",
    3,
    LabelSet((LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid"))),
    (0.0, 1.0),
    raters=("Ann", "Ben", "Cleo"),
)


def snapshots(dimensions: int) -> SnapshotEnsemble:
    """Two snapshots of weights that were shaken in between."""
    model = SnapshotEnsemble(Deterministic(_base.network(dimensions)), cycles=2)
    for _ in range(2):
        with torch.no_grad():
            for value in model.member.parameters():
                value.add_(0.05 * torch.randn_like(value))
        model.take_snapshot()
    return model


FAMILIES: dict[str, Callable[[int], SegmentationModule]] = {
    **{name: build for name, (build, _) in _base.FAMILIES.items()},
    "rater_conditioned": lambda d: RaterConditioned(_base.network(d, 0.0), latent=2, population=True),
    "rater_confusion": lambda d: RaterConfusion(_base.network(d, 0.0)),
    "snapshot_ensemble": lambda d: snapshots(d),
    "augmented_latents": lambda d: TestTimeAugmentation(_base.latent(d), models=2),
    "augmented_swag": lambda d: TestTimeAugmentation(_base.swag(d), models=2),
}


def built(name: str, dimensions: int = 2) -> SegmentationModule:
    """Of random weights, whose draws differ, in evaluation mode."""
    torch.manual_seed(0)
    model = FAMILIES[name](dimensions)
    model.bind(INFO)
    _base.excite(model)
    with torch.no_grad():
        for parameter_name, value in model.named_parameters():
            if "matrices" in parameter_name:  # raters start alike
                value.add_(torch.randn_like(value))
    return model.eval()


def families_in(model: SegmentationModule) -> set[type]:
    return {type(part) for part in model.modules() if isinstance(part, SegmentationModule)}


def test_every_family_of_the_package_is_among_them():
    exported = [getattr(probseg.models, name) for name in probseg.models.__all__]
    families = {
        x for x in exported if isinstance(x, type) and issubclass(x, SegmentationModule) and not inspect.isabstract(x)
    }
    assert {Deterministic, ProbabilisticUNet, SWAG} < families
    assert families - set().union(*(families_in(built(name)) for name in FAMILIES)) == set()


def draws_of(slabs) -> Tensor:
    """Probabilities of each draw over the whole scan, ``(models, readings, slices, classes, rows, columns)``."""
    return torch.cat([distribution.probs for _, distribution in slabs], dim=2)


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_a_draw_is_the_same_for_every_slice_whatever_the_batch_size(name: str):
    model = built(name)
    one, other = torch.rand(2, 1, 16, 12, generator=torch.Generator().manual_seed(1))
    scan = torch.stack([one, other, one, one, other], dim=1)  # (1, slices, rows, columns)

    def predict(part: Tensor):
        return model(part, Draws(4, seed=3))

    whole = draws_of(slice_by_slice(scan, predict, 5))
    for batch_size in (1, 2, 3):
        torch.testing.assert_close(draws_of(slice_by_slice(scan, predict, batch_size)), whole, atol=1e-5, rtol=0)
    for same, first in ((2, 0), (3, 0), (4, 1)):
        torch.testing.assert_close(whole[:, :, same], whole[:, :, first], atol=1e-5, rtol=0)
    flat = whole.flatten(0, 1)
    assert len(flat) == 1 or (flat[0] - flat[1]).abs().max() > 1e-4, "draws differ, so that the above says something"


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_a_draw_is_the_same_for_every_window_whatever_the_batch_size(name: str):
    model = built(name, 3)
    half = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    scan = torch.cat([half, half], dim=3)  # two windows side by side that show the same

    def predict(part: Tensor):
        return model(part, Draws(4, seed=3))

    whole = draws_of(sliding_window(scan, predict, (4, 8, 8), 0.0, 1))
    torch.testing.assert_close(draws_of(sliding_window(scan, predict, (4, 8, 8), 0.0, 2)), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole[..., :8], whole[..., 8:], atol=1e-5, rtol=0)
    first = (
        predict(half[None, :, :4]).probs[:, :, 0].movedim(3, 2)
    )  # (models, readings, slices, classes, rows, columns)
    torch.testing.assert_close(whole[:, :, :4, :, :, :8], first, atol=1e-5, rtol=0)


# -- what coherence is for ------------------------------------------------------------------------------------------

SLICES = 16
ROUND = 24  # pixels a side


def disc(radius: float, centre: tuple[float, float] = (11.5, 11.5)) -> np.ndarray:
    y, x = np.mgrid[:ROUND, :ROUND]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def drawn(rng: np.random.Generator, centre: tuple[float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An image of a blurred lesion and the masks of two raters: one takes the rim for a part of it, one does not."""
    centre = centre or tuple(rng.uniform(9, 14, 2))
    image = 0.15 + 0.5 * disc(6, centre) + 0.3 * disc(3, centre) + 0.03 * rng.standard_normal((ROUND, ROUND))
    return image.clip(0, 1).astype(np.float32), np.stack([disc(6, centre), disc(3, centre)]).astype(np.uint8)


@pytest.fixture(scope="module")
def trained() -> ProbabilisticUNet:
    """A probabilistic U-Net that has learnt in seconds that the lesion is the disc with its rim or without."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(UNet(1, 2, (8, 12)), latent=2, encoder_channels=(8, 8), pooling="mean_max", hidden=8)
    model.bind(DatasetInfo("discs", 3, LabelSet.binary("lesion"), (0.0, 1.0)))
    rng, optimizer = np.random.default_rng(0), torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(120):
        examples = []
        for k in range(8):
            image, masks = (torch.from_numpy(x) for x in drawn(rng))
            rated = torch.ones_like(masks, dtype=torch.bool)
            examples.append(Example(image[None], masks, rated, k, k, str(k), "", torch.ones(2)))
        optimizer.zero_grad()
        model.loss(collate(examples))["loss"].backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def lesion() -> tuple[Case, np.ndarray]:
    """A tube through all slices, wandering a little, and the volume that each rater gives it in voxels."""
    rng = np.random.default_rng(1)
    slices = [drawn(rng, (11.5 + np.sin(k / 5), 11.5 + np.cos(k / 5))) for k in range(SLICES)]
    image, masks = np.stack([s[0] for s in slices]), np.stack([s[1] for s in slices])
    return Case("tube", "p", "", image, {}, Geometry(image.shape, (1.0, 1.0, 1.0))), masks.sum(axis=(0, 2, 3))


DRAWS = 200


@torch.no_grad()
def whole_volume(model: ProbabilisticUNet, case: Case) -> np.ndarray:
    """Volumes when one latent is drawn for the volume, of the mean of its slices' priors: ``(draws,)`` voxels."""
    image = torch.from_numpy(case.image)[:, None]
    prior, features = model.prior(image).base_dist, model.unet.features(image)
    whole = torch.distributions.Normal(prior.loc.mean(dim=0), prior.scale.mean(dim=0))
    z = at_noise(torch.distributions.Independent(whole, 1), Draws(DRAWS).noise(model.latent))
    logits = model.unet.head(model.combiner(features, z[:, None].expand(-1, SLICES, -1)), (ROUND, ROUND))
    return logits.softmax(1)[:, 1].reshape(DRAWS, -1).sum(dim=1).double().numpy()


def test_coherent_draws_spread_as_a_whole_volume_and_independent_slices_far_too_little(
    trained: ProbabilisticUNet, lesion: tuple[Case, np.ndarray]
):
    case, raters = lesion
    coherent = predict_scan(trained, case, Draws(DRAWS), batch_size=3).draw_expected[:, 1]
    whole = whole_volume(trained, case)
    alone = [
        Case("s", "p", "", case.image[k : k + 1], {}, Geometry((1, ROUND, ROUND), (1.0, 1.0, 1.0)))
        for k in range(SLICES)
    ]
    each = np.stack([predict_scan(trained, s, Draws(DRAWS, 1000 + k)).draw_expected[:, 1] for k, s in enumerate(alone)])
    apart = each.sum(axis=0)
    assert coherent.std() == pytest.approx(whole.std(), rel=0.1)
    np.testing.assert_allclose(np.sort(coherent), np.sort(whole), rtol=0.15)
    assert apart.std() / coherent.std() == pytest.approx(SLICES**-0.5, rel=0.25)  # the slices are alike: 1/4
    assert apart.mean() == pytest.approx(coherent.mean(), rel=0.05)
    # And what it means: both raters' volumes lie in the interval of coherent draws, and neither in the other.
    inside = [np.quantile(volumes, [0.025, 0.975]) for volumes in (coherent, apart)]
    slack = 0.05 * raters  # the network blurs a voxel here and there
    assert inside[0][0] <= raters.min() + slack.min() and inside[0][1] >= raters.max() - slack.max()
    assert inside[1][0] > raters.min() + slack.min() and inside[1][1] < raters.max() - slack.max()
