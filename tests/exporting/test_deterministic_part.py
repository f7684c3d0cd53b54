"""What a graph computes is what the model says at the same noise, family by family."""

from __future__ import annotations

import pytest
import torch

from probseg.calibrators import Sizes, Temperature
from probseg.data.synthetic import INFO
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.exporting.deterministic_part import DeterministicPart, GivenNoise
from tests.exporting.conftest import FAMILIES, made, scan


def raw(image: torch.Tensor) -> torch.Tensor:
    """Intensities that the window turns into these."""
    low, high = INFO.window
    return image * (high - low) + low


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["latent", "full covariance", "hierarchy", "low rank", "strangers", "three axes"])
def test_a_latent_family_at_given_noise_is_its_draws(name: str) -> None:
    model, draws = made(FAMILIES[name]), Draws(3)
    part, image = DeterministicPart(model).eval(), scan(model)
    with torch.no_grad():
        close(part(raw(image), draws.noise(part.noise_size)), model(image, draws).logits)


def test_sizes_of_the_noise() -> None:
    wanted = {"latent": 6, "hierarchy": 4, "ensemble": 3, "deterministic": 0, "styles": 0}
    assert {name: DeterministicPart(made(FAMILIES[name])).noise_size for name in wanted} == wanted


def test_members_of_an_ensemble_have_the_same_noise() -> None:
    model, draws = made(FAMILIES["ensemble"]), Draws(2)
    part, image = DeterministicPart(model).eval(), scan(model)
    with torch.no_grad():
        found = part(raw(image), draws.noise(3))
        close(found, torch.cat([member(image, draws).logits for member in model.members]))
    assert found.shape[:2] == (2, 2)


def test_what_draws_at_random_otherwise_stands_still() -> None:
    with torch.no_grad():
        model = made(FAMILIES["dropout"])
        image = scan(model)
        close(DeterministicPart(model)(raw(image))[0, 0], model.network(image))
        model = made(FAMILIES["augmented"])
        close(DeterministicPart(model)(raw(image)), model.member(image, Draws(1)).logits)
        model = made(FAMILIES["swag"])
        part = DeterministicPart(model)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        found = part(raw(image))
        model.member.load_state_dict(model.mean_weights(), strict=False)
        close(found, model.member(image, Draws(1)).logits)
        assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())  # the mean is another model


def test_readings_of_named_raters_come_in_the_order_of_their_names() -> None:
    for name in ("styles", "confusion"):
        model = made(FAMILIES[name])
        image = scan(model)
        with torch.no_grad():
            found = DeterministicPart(model)(raw(image))
            for k, rater in enumerate(("Ann", "Ben", "Cleo")):
                model.choose_rater(rater)
                close(found[:, k], model(image, Draws(1)).logits[:, 0])
        assert found.shape[1] == 3


def test_snapshots_are_models() -> None:
    model = made(FAMILIES["snapshots"])
    with torch.no_grad():
        close(DeterministicPart(model)(raw(scan(model))), model(scan(model), Draws(2)).logits)


def test_a_calibrated_model_stays_calibrated_and_images_are_clipped() -> None:
    model = made(FAMILIES["low rank"])
    calibrator = Temperature()
    calibrator.prepare(Sizes(INFO.labels.num_classes, 1, 2))
    with torch.no_grad():
        for value in calibrator.parameters():
            value.add_(0.7)
        plain = DeterministicPart(model)
        model.calibrate(calibrator)
        part, image, noise = DeterministicPart(model), scan(model) * 1.4 - 0.2, Draws(2).noise(3)
        close(part(raw(image), noise), model(image.clamp(0, 1), Draws(2)).logits)
        assert not torch.allclose(part(raw(image), noise), plain(raw(image), noise), atol=1e-2)


def test_random_numbers_of_another_kind_are_refused() -> None:
    with pytest.raises(ProbsegError, match="E_NO_ONNX"):
        GivenNoise(2).generator(0)
