"""The Gaussian over the last weights by hand, its draws, and what is collected when."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from probseg.batch import Batch
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import SWAG, Deterministic, ProbabilisticUNet
from probseg.models.schedules import Constant
from probseg.networks import UNet


def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 3, (4, 8), foreground=0.5)


def shaken(model: SWAG, times: int = 4, size: float = 0.05) -> SWAG:
    """Collected from weights (and statistics) that wander about where they started."""
    generator = torch.Generator().manual_seed(1)
    start = copy.deepcopy(model.member.state_dict())
    for _ in range(times):
        with torch.no_grad():
            for name, value in model.member.state_dict().items():
                if value.is_floating_point():
                    step = size * torch.randn(value.shape, generator=generator)
                    value.copy_(start[name] * step.exp() if "running_var" in name else start[name] + step)
        model.collect()
    return model


class Scalar(nn.Module):
    """A network of one weight w: logits (0, w * image)."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(image), self.w * image], dim=1)


def scalar(values: list[float], **settings) -> SWAG:
    model = SWAG(Deterministic(Scalar()), **settings)
    for value in values:
        nn.init.constant_(model.member.network.w, value)
        model.collect()
    return model.eval()


def test_moments_by_hand():
    # running means 1, 2, 3, 4.5; squares about the last: 12.25 + 2.25 + 0.25 + 20.25 = 35; deviations from the running
    # means 0, 1, 2, 4.5, of which the last three are kept, the fourth in the place of the first
    model = scalar([1, 3, 5, 9], rank=3)
    assert model.mean.tolist() == [4.5]
    assert model.squares.tolist() == pytest.approx([35])
    assert model.deviations.flatten().tolist() == pytest.approx([4.5, 1, 2])
    assert int(model.collected) == 4


def test_draws_are_as_wide_as_the_formula_says():
    # variance 35/4 / 2 of the diagonal and (4.5^2 + 1 + 4) / (2 * (3 - 1)) of the columns
    for scale in (1.0, 0.5):
        model = scalar([1, 3, 5, 9], rank=3, scale=scale)
        w = torch.cat([model.drawn(Draws(1), k)["network.w"] for k in range(2000)])
        expected = scale**2 * (35 / 4 / 2 + 25.25 / 4)
        assert w.var().item() == pytest.approx(expected, rel=0.1)
        assert w.mean().item() == pytest.approx(4.5, abs=0.2)


def test_two_snapshots_far_from_zero_keep_their_variance():
    # a second moment less the mean's square would be 1e8 - 1e8 in single precision
    model = scalar([10000.0, 10000.5])
    assert (model.squares / 2).tolist() == pytest.approx([0.0625])


@torch.no_grad()
def test_a_draw_is_the_member_with_those_weights_and_the_member_stays_as_it_was(info):
    model = shaken(SWAG(Deterministic(unet())), 5).eval()
    model.bind(info)
    before = copy.deepcopy(model.state_dict())
    image = torch.rand(2, 1, 16, 12)
    distribution = model(image, Draws(3, seed=7))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert (distribution.num_models, distribution.num_readings) == (3, 1)
    for k in range(3):
        member = copy.deepcopy(model.member)
        missing = member.load_state_dict(model.drawn(Draws(3, seed=7), k), strict=False)
        assert all("num_batches_tracked" in name for name in missing.missing_keys) and not missing.unexpected_keys
        torch.testing.assert_close(distribution.logits[k, 0], member.network(image))
    assert (distribution.logits[0] - distribution.logits[1]).abs().max() > 1e-3


def test_batch_norms_statistics_move_with_the_weights_they_belong_to():
    """Where statistics are a line in the weights, those of a draw are what its weights ask for."""
    model = SWAG(Deterministic(nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))), rank=5, snapshots=5)
    convolution, norm = model.member.network
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(5):
            convolution.bias.copy_(torch.randn(3, generator=generator))
            norm.running_mean.copy_(2 * convolution.bias - 1)
            norm.running_var.copy_((0.3 * convolution.bias).exp())
            model.collect()
        model.squares.zero_()  # the diagonal's noise belongs to the weights alone
    for k in range(5):
        drawn = model.drawn(Draws(5), k)
        bias = drawn["network.0.bias"]
        torch.testing.assert_close(drawn["network.1.running_mean"], 2 * bias - 1)
        torch.testing.assert_close(drawn["network.1.running_var"], (0.3 * bias).exp())
    assert len({tuple(model.drawn(Draws(5), k)["network.0.bias"].tolist()) for k in range(5)}) == 5


@torch.no_grad()
def test_a_member_with_readings_keeps_them():
    member = ProbabilisticUNet(unet(), encoder_channels=(4,), hidden=8, latent=2)
    nn.init.normal_(member.combiner.to_features.weight)
    distribution = shaken(SWAG(member, models=3)).eval()(torch.rand(1, 1, 8, 8), Draws(12))
    assert (distribution.num_models, distribution.num_readings) == (3, 4)
    assert distribution.epistemic.max() > 1e-4 and distribution.ambiguity.max() > 1e-4


def test_the_rate_falls_and_then_stays():
    model = SWAG(Deterministic(Scalar(), warmup=0.2), start=0.5, rate=0.3)
    assert [model._rate(p) for p in (0.0, 0.05, 0.1)] == pytest.approx([0.01, 0.5, 1.0])
    assert model._rate(0.3) == pytest.approx(0.5)  # halfway down the cosine
    assert [model._rate(p) for p in (0.45, 0.5, 0.7, 1.0)] == pytest.approx([0.3] * 4)
    flat = SWAG(Deterministic(Scalar(), warmup=0.0, schedule=Constant()), start=0.5, rate=0.3)
    assert (flat._rate(0.4), flat._rate(0.6)) == (1.0, 0.3)
    assert SWAG(Deterministic(Scalar()), start=0.0)._rate(0.0) == 0.3


def test_nothing_is_predicted_before_the_second_snapshot():
    model = scalar([1.0])
    with pytest.raises(ProbsegError, match=r"E_NO_SNAPSHOTS.*1 snapshots"):
        model(torch.rand(1, 1, 4, 4), Draws(2))


def test_settings_that_make_no_sense_are_refused():
    wrong = ({"start": 1.0}, {"start": -0.1}, {"rate": 0.0}, {"snapshots": 1}, {"rank": 1}, {"scale": -1.0})
    for settings in wrong:
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            SWAG(Deterministic(Scalar()), **settings)


# -- in a training ------------------------------------------------------------------------------------------------


class Kept(Callback):
    """Writes a checkpoint after one step, before the model's own hooks of that step, and notes every collection."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.step = step
        self.collected: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: SWAG, *args: object) -> None:
        self.collected.append(int(pl_module.collected))
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def trained(info, batch: Batch, folder: Path, resume: Path | None = None) -> tuple[SWAG, list[int]]:
    torch.manual_seed(0)
    member = Deterministic(unet(), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    model = SWAG(member, start=0.5, snapshots=4, rank=3)
    model.bind(info)
    kept = Kept(folder / "seventh.ckpt", 7)
    trainer = Trainer(
        max_steps=10,
        accelerator="cpu",
        callbacks=[kept],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader([batch] * 10, batch_size=None)
    trainer.fit(model, loader, ckpt_path=resume, weights_only=True)
    return model, kept.collected


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec, LeafSpec.*")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step`.*")
@pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint that ended before the epoch ended.*")
def test_snapshots_are_spread_over_the_tail_and_a_resumed_training_takes_the_same(info, batch, tmp_path: Path):
    # The tail is steps 5 to 10; a snapshot is due after each of its quarters, 1.25, 2.5, 3.75 and 5 steps, so before
    # the steps that follow, 7 (counted from 0), 8 and 9, and at the end.
    whole, collected = trained(info, batch, tmp_path)
    assert collected == [0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
    assert int(whole.collected) == 4
    assert whole.deviations.shape[0] == 3 and whole.deviations.abs().sum(dim=1).min() > 0
    again, collected = trained(info, batch, tmp_path, tmp_path / "seventh.ckpt")
    assert collected == [1, 2, 3]
    state = again.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in whole.state_dict().items())


@pytest.mark.parametrize(
    ("callback", "word"),
    [(EarlyStopping("validation/nll"), "EarlyStopping"), (ModelCheckpoint(monitor="validation/nll"), "snapshots")],
)
def test_what_would_lose_the_snapshots_is_refused(info, callback, word):
    model = SWAG(Deterministic(unet()))
    model.bind(info)
    settings = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    checkpoints = {} if isinstance(callback, ModelCheckpoint) else {"enable_checkpointing": False}
    model.trainer = Trainer(accelerator="cpu", callbacks=[callback], **settings, **checkpoints)
    with pytest.raises(ProbsegError, match=f"E_SCHEMA.*{word}"):
        model.setup("fit")
    model.setup("test")


def test_log_variances_of_statistics_stay_finite():
    model = SWAG(Deterministic(nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))))
    nn.init.zeros_(model.member.network[1].running_var)
    model.collect()
    model.collect()
    assert torch.isfinite(model.mean).all()
    assert math.isfinite(model.drawn(Draws(1), 0)["network.1.running_var"].max())
