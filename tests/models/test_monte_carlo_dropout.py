"""Dropout awake, everything else asleep."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import Deterministic, Ensemble, MonteCarloDropout
from probseg.models.monte_carlo_dropout import channels_dropped
from probseg.networks import UNet
from probseg.networks.concrete_dropout import ConcreteDropout

from .conftest import hard_batch


@pytest.fixture
def model() -> MonteCarloDropout:
    return MonteCarloDropout(UNet(1, 2, (4, 8), dropout=0.5)).eval()


def test_only_dropout_wakes_and_everything_is_as_before(model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    hooks = {name: list(module._forward_hooks) for name, module in model.named_modules()}
    model(torch.rand(2, 1, 8, 8), Draws(3))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: list(module._forward_hooks) for name, module in model.named_modules()} == hooks
    assert not any(module._forward_hooks for module in model.network.modules())
    model.network.train()
    with pytest.raises(RuntimeError), channels_dropped(model.network, Draws(), 0):
        assert not any(m.training for m in model.network.modules() if isinstance(m, nn.Dropout2d))
        raise RuntimeError
    assert all(m.training for m in model.network.modules())


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.Dropout3d])
def test_whole_channels_are_dropped_alike_for_every_image(layer):
    net = layer(0.4).eval()
    x = torch.ones(3, 50, 4, 5, *((2,) if layer is nn.Dropout3d else ()))
    with channels_dropped(net, Draws(seed=1), 0):
        y = net(x)
    mask = y[0].flatten(1)[:, 0]
    assert torch.equal(y, mask.reshape(1, 50, *(1,) * (x.ndim - 2)).expand_as(y))
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert torch.equal(net(x), x)
    with channels_dropped(net, Draws(seed=1), 1):
        assert not torch.equal(net(x), y)


def test_the_share_of_dropped_channels_is_p():
    net = nn.Sequential(nn.Dropout2d(0.3), nn.Dropout2d(0.3)).eval()
    x = torch.ones(1, 400, 1, 1)
    kept = 0
    for k in range(50):
        with channels_dropped(net, Draws(), k):
            kept += int((net(x) > 0).sum())
    # the layers drop independently of each other: 0.7 ** 2; the standard deviation of the share is 0.0035
    assert kept / (50 * 400) == pytest.approx(0.49, abs=0.02)


def test_it_asks_for_dropout():
    with pytest.raises(ProbsegError, match="set dropout of the network above 0"):
        MonteCarloDropout(UNet(1, 2, (4, 8)))


@torch.no_grad()
def test_prediction_in_the_midst_of_training_leaves_batch_norm_alone(model):
    model.train()
    seen: list[bool] = []
    for module in model.network.modules():
        module.register_forward_pre_hook(lambda m, args: seen.append(m.training))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    in_training = model(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), Draws(2)).logits
    assert seen and not any(seen), "every module is in evaluation mode, dropout is done by hooks"
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(module.training for module in model.modules())
    model.eval()
    again = model(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), Draws(2)).logits
    assert torch.equal(in_training, again)


def test_tokens_have_their_channels_last():
    net = nn.Dropout(0.5).eval()
    x = torch.ones(2, 7, 40)
    with channels_dropped(net, Draws(), 0):
        y = net(x)
    assert torch.equal(y, y[:1, :1].expand_as(y)) and len(y.unique()) == 2


def concrete(**kwargs) -> MonteCarloDropout:
    return MonteCarloDropout(UNet(1, 3, (4, 8), dropout=0.3), concrete=True, **kwargs)


def test_the_regulariser_of_concrete_dropout_by_its_formula(info, batch):
    torch.manual_seed(0)
    model = concrete(weight_prior=0.5, data_size=20).eval()
    model.bind(info)
    down, deep, up = (m for m in model.network.modules() if isinstance(m, ConcreteDropout))
    with torch.no_grad():
        down.logit.fill_(0.0)  # p = 1/2
    terms = model.loss(batch)
    net = model.network
    squares = [
        net.down[1][0].weight.square().sum() + net.up[0][0].weight[:, 8:].square().sum(),
        net.up[0][0].weight[:, :8].square().sum(),
        net.classify.weight.square().sum(),
    ]
    h = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    expected = (
        0.25 * squares[0] / 0.5 - 4 * math.log(2) + 0.25 * squares[1] / 0.7 - 8 * h + 0.25 * squares[2] / 0.7 - 4 * h
    ) / 20
    assert terms["concrete"].item() == pytest.approx(expected.item(), rel=1e-5)
    plain = Deterministic(net).eval()
    plain.bind(info)
    assert terms["loss"].item() == pytest.approx(plain.loss(batch)["loss"].item() + expected.item(), rel=1e-5)
    assert terms["dropout"].item() == pytest.approx((0.5 + 0.3 + 0.3) / 3, rel=1e-5)
    terms["loss"].backward()
    assert all(layer.logit.grad != 0 for layer in (down, deep, up))


@pytest.mark.parametrize(("weight_prior", "sign"), [(0.0, -1), (1e6, 1)])
def test_the_entropy_pulls_p_to_a_half_and_heavy_weights_push_it_down(info, batch, weight_prior, sign):
    torch.manual_seed(0)
    model = concrete(weight_prior=weight_prior, data_size=1)
    model.bind(info)
    model.loss(batch)["concrete"].backward()
    assert [torch.sign(layer.logit.grad).item() for layer in model.concrete] == [sign] * 3


def test_concrete_draws_are_as_coherent_as_others():
    torch.manual_seed(0)
    model = concrete().eval()
    x = torch.rand(3, 1, 16, 16)
    whole = model(x, Draws(3, seed=2)).logits
    torch.testing.assert_close(model(x[1:2], Draws(2, seed=2)).logits, whole[:2, :, 1:2], atol=1e-5, rtol=0)
    assert not torch.equal(whole[0], whole[1])
    with torch.no_grad():
        for layer in model.concrete:
            layer.logit.fill_(-30.0)  # p has been learnt to nothing
    settled = model(x, Draws(2)).logits
    torch.testing.assert_close(settled[0], settled[1])


def test_wrong_settings(info, batch):
    for wrong in ({"weight_prior": -1.0}, {"data_size": 0}):
        with pytest.raises(ProbsegError, match="weight_prior of MonteCarloDropout must be at least 0"):
            concrete(**wrong)
    for idle in ({"weight_prior": 1.0}, {"data_size": 10}):
        with pytest.raises(ProbsegError, match="are for concrete dropout; set concrete to true"):
            MonteCarloDropout(UNet(1, 2, (4, 8), dropout=0.3), **idle)
    model = concrete()
    model.bind(info)
    with pytest.raises(ProbsegError, match="set data_size of MonteCarloDropout"):
        model.loss(batch)  # outside of a trainer nobody knows how many images there are


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec", "ignore:.*no `val_dataloader`")
def test_in_a_trainer_every_member_knows_how_many_voxels_there_are_to_learn_from(info):
    model = Ensemble(concrete(), size=2)
    model.bind(info)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    seen = []
    model.on_train_batch_end = lambda *args: seen.extend(m._size_of_data(hard_batch().image) for m in model.members)
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=1, log_every_n_steps=1, **quiet)
    trainer.fit(model, DataLoader([hard_batch(seed=k) for k in range(3)], batch_size=None))
    assert seen == [3 * 16 * 12] * 6
    assert all(layer.p != pytest.approx(0.3, abs=1e-6) for member in model.members for layer in member.concrete)
