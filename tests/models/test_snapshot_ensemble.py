"""Snapshots at the ends of cycles, in one training that may be interrupted."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from probseg.distribution import Draws
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.models import Deterministic, ProbabilisticUNet, SnapshotEnsemble
from probseg.networks import UNet

from .conftest import hard_batch

TRAINER = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "max_epochs": 2,
    "log_every_n_steps": 1,
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),  # Lightning's own
]


def build(info, cycles: int = 3, **kwargs) -> SnapshotEnsemble:
    torch.manual_seed(0)
    member = Deterministic(UNet(1, 3, (4, 8)), optimizer=lambda p: torch.optim.SGD(p, lr=0.1), **kwargs)
    model = SnapshotEnsemble(member, cycles)
    model.bind(info)
    return model


def fit(model: SnapshotEnsemble, ckpt_path: Path | None = None, weights_only: bool | None = None, **kwargs) -> None:
    """Two epochs of three steps."""
    trainer = Trainer(**{**TRAINER, **kwargs})
    loaders = (DataLoader([hard_batch(seed=k) for k in range(n)], batch_size=None) for n in (3, 1))
    trainer.fit(model, *loaders, ckpt_path=ckpt_path, weights_only=weights_only)


def test_the_rate_of_each_cycle_is_a_cosine_of_its_own(info):
    model = build(info, warmup=0.2)
    assert model._rate(0.0) == 0.01
    assert model._rate(0.2 / 3) == pytest.approx(1)
    assert model._rate(0.99999 / 3) == pytest.approx(0, abs=1e-6)
    for progress, share in ((1 / 3 + 1e-9, 0.0), (0.5, 0.5), (0.75, 0.25), (1.0, 1.0)):  # no warm-up after the first
        assert model._rate(progress) == pytest.approx(0.5 * (1 + math.cos(math.pi * share)), abs=1e-6)


def test_a_snapshot_is_what_the_member_was_at_the_end_of_each_cycle(info, monkeypatch):
    model = build(info, warmup=0.0)
    states = []
    step = Deterministic.loss
    monkeypatch.setattr(
        Deterministic, "loss", lambda self, batch: states.append(copy.deepcopy(self.state_dict())) or step(self, batch)
    )
    fit(model)  # six steps, so cycles end after the second, fourth and sixth
    states.append(model.member.state_dict())
    assert int(model.taken) == 3
    for snapshot, k in zip(model.snapshots, (2, 4, 6), strict=True):
        assert all(torch.equal(v, states[k][name]) for name, v in snapshot.state_dict().items())
        assert not any(p.requires_grad for p in snapshot.parameters())
    image = hard_batch().image
    model.eval()
    distribution = model(image, Draws(3))
    assert (distribution.num_models, distribution.num_readings) == (3, 1)
    for k, snapshot in enumerate(model.snapshots):
        assert torch.equal(distribution.logits[k], snapshot(image, Draws(1)).logits[0])


def test_snapshots_travel_in_the_checkpoint_so_that_a_training_goes_on(info, tmp_path: Path):
    class SaveBetween(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: SnapshotEnsemble) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    whole = build(info)
    fit(whole, callbacks=[SaveBetween()])
    half = build(info)
    fit(half, ckpt_path=tmp_path / "0.ckpt", weights_only=True)
    assert int(torch.load(tmp_path / "0.ckpt", weights_only=True)["state_dict"]["taken"]) == 1
    assert int(half.taken) == 3
    assert all(torch.equal(v, half.state_dict()[k]) for k, v in whole.state_dict().items())


def test_before_the_first_snapshot_the_member_answers(info):
    model = build(info).eval()
    image = hard_batch().image
    assert torch.equal(model(image, Draws(3)).logits, model.member(image, Draws(3)).logits)
    model.take_snapshot()
    with torch.no_grad():
        model.member.network.classify.bias += 1
    assert not torch.equal(model(image, Draws(3)).logits, model.member(image, Draws(3)).logits)


def test_members_with_readings_share_the_draws(info):
    model = SnapshotEnsemble(ProbabilisticUNet(UNet(1, 3, (4, 8)), encoder_channels=(4,), hidden=4), 2).eval()
    model.bind(info)
    model.take_snapshot()
    model.take_snapshot()
    distribution = model(hard_batch().image, Draws(5))
    assert (distribution.num_models, distribution.num_readings) == (2, 3)


def test_what_would_lose_snapshots_is_refused_or_told(info):
    with pytest.raises(ProbsegError, match="cycles of a SnapshotEnsemble must be at least 2, but is 1"):
        build(info, 1)
    with pytest.raises(ProbsegError, match="EarlyStopping may never reach"):
        fit(build(info), callbacks=[EarlyStopping("validation/nll")])
    with pytest.raises(ProbsegError, match=r"set --checkpoint.monitor=validation/snapshots --checkpoint.mode=max"):
        fit(build(info), enable_checkpointing=True, callbacks=[ModelCheckpoint(monitor="validation/nll")])
    with pytest.warns(ProbsegWarning, match="W_FEW_SNAPSHOTS: the training ended with 3 of 5 snapshots"):
        fit(build(info, 5), max_epochs=1)
