"""Changes of the image that are undone on the answer, one function for the whole scan."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import Deterministic, MonteCarloDropout, ProbabilisticUNet, TestTimeAugmentation
from probseg.models.test_time_augmentation import Augmentation
from probseg.networks import UNet

STILL = {"flips": False, "turns": False, "contrast": 0.0, "brightness": 0.0}


def unet(dimensions: int = 2, dropout: float = 0.0) -> UNet:
    torch.manual_seed(0)
    return UNet(1, 3, (4, 8), dimensions, dropout=dropout, foreground=0.5)


def latent() -> ProbabilisticUNet:
    model = ProbabilisticUNet(unet(), encoder_channels=(4,), hidden=8, latent=2)
    torch.nn.init.normal_(model.combiner.to_features.weight)
    return model


class Pointwise(torch.nn.Module):
    """A network that looks at one voxel only, so that no flip or turn can change what it says of it."""

    num_classes = 2

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image, (3 * image).sin()], dim=1)


@given(
    st.sampled_from([(), (-2,), (-1,), (-2, -1)]),
    st.booleans(),
    st.floats(0.5, 2.0),
    st.floats(-0.2, 0.2),
    st.sampled_from([(3, 4), (4, 4), (2, 3, 5)]),
)
def test_what_is_done_is_undone(flips, transpose, contrast, brightness, space):
    change = Augmentation(flips, transpose, contrast, brightness)
    image = torch.rand(2, 1, *space)
    changed = change.change(image)
    back = change.undo(changed)
    assert back.shape == image.shape
    expected = ((image - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    torch.testing.assert_close(back, expected, atol=1e-6, rtol=0)


def test_a_quarter_turn_by_hand():
    # rows are mirrored: [[3, 4], [1, 2]]; then rows and columns change places: [[3, 1], [4, 2]], a turn to the right
    image = torch.tensor([[0.1, 0.2], [0.3, 0.4]])[None, None]
    turned = Augmentation(flips=(-2,), transpose=True).change(image)
    assert turned[0, 0].tolist() == torch.tensor([[0.3, 0.1], [0.4, 0.2]]).tolist()
    assert torch.equal(turned, image.rot90(-1, (-2, -1)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, set(product([(), (-2,), (-1,), (-2, -1)], (False, True)))),
        ({"turns": False}, {((), False), ((-2,), False), ((-1,), False), ((-2, -1), False)}),
        ({"flips": False}, {((), False), ((-2,), True), ((-1,), True), ((-2, -1), False)}),  # the four turns
        ({"flips": False, "turns": False}, {((), False)}),
    ],
)
def test_each_flip_and_turn_comes_once_before_any_comes_again(settings, expected):
    model = TestTimeAugmentation(Deterministic(unet()), **settings)
    orders = set()
    for seed in range(5):
        changes = [model.augmentation(Draws(2 * len(expected), seed), k) for k in range(2 * len(expected))]
        ways = [(c.flips, c.transpose) for c in changes]
        assert set(ways[: len(expected)]) == set(ways[len(expected) :]) == expected
        assert changes[0] == Augmentation()
        orders.add(tuple(ways))
    assert len(orders) > 1 or len(expected) == 1


def test_intensities_are_drawn_as_wide_as_asked_and_by_the_seed():
    model = TestTimeAugmentation(Deterministic(unet()), contrast=0.2, brightness=0.05)
    changes = [model.augmentation(Draws(800, 1), k) for k in range(1, 800)]
    contrast = torch.tensor([c.contrast for c in changes]).log()
    brightness = torch.tensor([c.brightness for c in changes])
    assert contrast.std().item() == pytest.approx(0.2, rel=0.1) and abs(contrast.mean()) < 0.02
    assert brightness.std().item() == pytest.approx(0.05, rel=0.1) and abs(brightness.mean()) < 0.005
    assert model.augmentation(Draws(3, 1), 2) == changes[1]
    assert model.augmentation(Draws(3, 2), 2) != changes[1]


@torch.no_grad()
def test_without_changes_it_is_the_member():
    image = torch.rand(2, 1, 12, 16)
    for member, draws in ((Deterministic(unet()), 3), (latent(), 8)):
        model = TestTimeAugmentation(member, **STILL, models=1).eval()
        again = model(image, Draws(draws, 3))
        alone = member(image, Draws(draws, 3))
        torch.testing.assert_close(again.mean, alone.mean)
        torch.testing.assert_close(again.ambiguity, alone.ambiguity)
        assert again.epistemic.abs().max() < 1e-6


@torch.no_grad()
@pytest.mark.parametrize("space", [(8, 8), (6, 9), (3, 8, 8), (3, 6, 9)])
def test_flips_and_turns_do_not_move_the_answer(space):
    model = TestTimeAugmentation(Deterministic(Pointwise()), contrast=0.0, brightness=0.0).eval()
    image = torch.rand(2, 1, *space)
    distribution = model(image, Draws(8))
    assert distribution.num_models == 8
    assert (distribution.logits == Pointwise()(image)).all()


@torch.no_grad()
def test_a_real_network_is_asked_about_each_changed_image():
    member = Deterministic(unet()).eval()
    model = TestTimeAugmentation(member).eval()
    image = torch.rand(1, 1, 16, 16)
    logits = model(image, Draws(8)).logits
    for k in range(8):
        change = model.augmentation(Draws(8), k)
        expected = change.undo(member.network(change.change(image)))
        torch.testing.assert_close(logits[k, 0], expected)
    assert (logits[1:] - logits[:1]).abs().flatten(1).amax(dim=1).min() > 1e-4


@torch.no_grad()
def test_the_members_models_and_readings_stay_within():
    image = torch.rand(1, 1, 8, 8)

    def axes(member, draws: int, **settings) -> tuple[int, int]:
        distribution = TestTimeAugmentation(member, **settings).eval()(image, Draws(draws))
        return distribution.num_models, distribution.num_readings

    assert axes(Deterministic(unet()), 6) == (6, 1)
    assert axes(latent(), 12) == (4, 3)
    assert axes(latent(), 13, models=3) == (3, 5)  # 13 over 3, rounded up
    assert axes(latent(), 2) == (2, 1)
    assert axes(MonteCarloDropout(unet(dropout=0.5)), 12) == (12, 1)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"contrast": -0.1}, {"brightness": -1.0}, {"models": 0}):
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            TestTimeAugmentation(Deterministic(unet()), **wrong)
