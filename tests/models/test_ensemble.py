"""Members that differ, are trained apart or together, and share out the draws."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelSet
from probseg.models import CentreFirst, Constant, Deterministic, Ensemble, ProbabilisticUNet
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


def test_compose_takes_members_in_order(ensemble):
    states = [Deterministic(UNet(1, 3, (4, 8))).state_dict() for _ in range(3)]
    ensemble.compose(states)
    for member, state in zip(ensemble.members, states, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in member.state_dict().items())


def test_a_member_that_differs_is_named_with_its_difference_and_nothing_is_taken(ensemble):
    before = copy.deepcopy(ensemble.state_dict())
    good = [Deterministic(UNet(1, 3, (4, 8))).state_dict() for _ in range(2)]
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH: 2 members for an ensemble of 3"):
        ensemble.compose(good)
    wide = Deterministic(UNet(1, 3, (4, 12))).state_dict()
    shallow = {k: v for k, v in good[0].items() if k != "network.classify.bias"}
    latent = ProbabilisticUNet(UNet(1, 3, (4, 8)), encoder_channels=(4,), hidden=4).state_dict()
    for wrong, message in (
        (wide, r"member 2 has the weight 'network.down.1.0.weight' in shape \(12, 4, 3, 3\), .* in \(8, 4, 3, 3\)"),
        (shallow, "member 2 lacks the weight 'network.classify.bias'"),
        (latent, "member 2 has a weight 'prior.trunk.0.weight', which the ensemble's members lack"),
    ):
        with pytest.raises(ProbsegError, match=f"E_CLASS_MISMATCH: {message}"):
            ensemble.compose([*good, wrong])
    assert all(torch.equal(v, before[k]) for k, v in ensemble.state_dict().items())


def test_members_that_know_other_classes_are_refused(info):
    model = Ensemble(Deterministic(UNet(1, 3, (4, 8))), size=2)
    other = LabelSet((LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "heart")))
    model.members[1].bind(dataclasses.replace(info, labels=other))
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH: member 1 of the ensemble was trained on classes backgro"):
        model.bind(info)


def test_members_learn_as_their_settings_say(info):
    member = Deterministic(UNet(1, 3, (4, 8)), schedule=Constant(), curriculum=CentreFirst([8, 8]))
    model = Ensemble(member, size=2)
    assert model.schedule is member.schedule and model.curriculum is member.curriculum


def test_one_member_is_no_ensemble():
    with pytest.raises(ProbsegError, match="at least 2"):
        Ensemble(Deterministic(UNet(1, 2, (4, 8))), size=1)
