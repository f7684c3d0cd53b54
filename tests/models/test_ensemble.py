"""Members that differ, are trained apart or together, and share out the draws."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import Deterministic, Ensemble, ProbabilisticUNet
from probseg.networks import UNet


@pytest.fixture
def ensemble(info) -> Ensemble:
    model = Ensemble(Deterministic(UNet(1, 3, (4, 8))), size=3)
    model.bind(info)
    return model


def test_members_differ_and_each_starts_as_its_network_wants(ensemble):
    weights = [m.network.down[0][0].weight for m in ensemble.members]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    for member in ensemble.members:  # the head starts at the expected share of foreground
        bias = member.network.classify.bias.reshape(3, -1)
        assert bias[0].tolist() == pytest.approx([math.log(0.97)] * 4)
        assert bias[1].tolist() == pytest.approx([math.log(0.015)] * 4)


def test_latent_members_start_as_the_family_wants():
    member = ProbabilisticUNet(UNet(1, 2, (4, 8)), encoder_channels=(4,), hidden=64, latent=16)
    for copied in Ensemble(member, size=2).members:
        assert copied.combiner.from_latent.weight.std().item() == pytest.approx(0.5, rel=0.15)
        assert copied.prior.moments.weight.std().item() == pytest.approx(0.02, rel=0.3)
        assert copied.prior.moments.bias.abs().max() == 0


def test_each_member_learns_as_if_alone(ensemble, batch):
    ensemble.eval()
    terms = ensemble.loss(batch)
    alone = [member.loss(batch)["loss"] for member in ensemble.members]
    assert [terms[f"member_{k}/loss"].item() for k in range(3)] == [v.item() for v in alone]
    assert terms["loss"].item() == pytest.approx(sum(v.item() for v in alone))
    terms["loss"].backward()
    for k, member in enumerate(ensemble.members):
        own = copy.deepcopy(member)
        own.zero_grad()
        own.loss(batch)["loss"].backward()
        for p, q in zip(member.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, msg=f"member {k}")
    step = ensemble.configure_optimizers()["optimizer"]
    before = [copy.deepcopy(m.state_dict()) for m in ensemble.members]
    step.step()
    for member, old in zip(ensemble.members, before, strict=True):
        assert any(not torch.equal(v, old[k]) for k, v in member.state_dict().items())


def test_draws_are_shared_out():
    member = ProbabilisticUNet(UNet(1, 2, (4, 8)), encoder_channels=(4,), hidden=4)
    model = Ensemble(member, size=3).eval()
    distribution = model(torch.rand(1, 1, 8, 8), Draws(8))
    assert (distribution.num_models, distribution.num_readings) == (3, 3)  # 8 over 3, rounded up


def test_compose_takes_members_in_order_and_refuses_others(ensemble):
    states = [Deterministic(UNet(1, 3, (4, 8))).state_dict() for _ in range(3)]
    ensemble.compose(states)
    for member, state in zip(ensemble.members, states, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in member.state_dict().items())
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH: 2 members for an ensemble of 3"):
        ensemble.compose(states[:2])
    wrong = Deterministic(UNet(1, 3, (4, 12))).state_dict()
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        ensemble.compose([*states[:2], wrong])


def test_one_member_is_no_ensemble():
    with pytest.raises(ProbsegError, match="at least 2"):
        Ensemble(Deterministic(UNet(1, 2, (4, 8))), size=1)
