"""What the rater-aware families share: who is known, whose number is whose, and whom they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.models import Ensemble, RaterConditioned, RaterConfusion
from probseg.models.known_raters import KnownRaters
from probseg.models.rater_aware import RaterAware
from probseg.networks import UNet
from probseg.records import DatasetInfo

RATERS = ("Ann", "Ben", "Cleo")
FAMILIES = {
    "conditioned": lambda d=2, **k: RaterConditioned(UNet(1, 3, (4, 8), d), hidden=32, **k),
    "confusion": lambda d=2, **k: RaterConfusion(UNet(1, 3, (4, 8), d), **k),
    "confusion_of_voxels": lambda d=2, **k: RaterConfusion(UNet(1, 3, (4, 8), d), hidden=4, **k),
}


@pytest.fixture(params=FAMILIES)
def build(request):
    return FAMILIES[request.param]


def excited(model: RaterAware) -> RaterAware:
    """As if it had learnt: raters differ, and by the voxel where they can."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.startswith("network."):
                value.copy_(torch.randn(value.shape, generator=generator))
    return model.eval()


# Whom they know -------------------------------------------------------------------------------------------------------


def test_raters_who_change_are_refused_in_one_line(build, info):
    with pytest.raises(ProbsegError, match=r"E_UNSTABLE_RATERS: Rater\w+ learns .*'toy' says that its raters change"):
        build().bind(replace(info, stable_raters=False))
    with pytest.raises(ProbsegError, match=r"E_UNSTABLE_RATERS.*lists no rater; use .*ProbabilisticUNet"):
        build().bind(info)


def test_a_trained_one_may_be_tested_where_nobody_has_a_name(build, info, named):
    model = build()
    model.bind(named)
    model.bind(replace(info, stable_raters=False))
    assert model.known.names == RATERS
    assert model.numbers[torch.tensor([-1])].tolist() == [-1]


def test_numbers_follow_names_whatever_the_data_call_them():
    known = KnownRaters(RATERS)
    other = DatasetInfo("other", 2, LabelSet.binary("x"), (0.0, 1.0), raters=("Dora", "Cleo", "Ann"))
    table = known.numbers_of(other)
    assert table[torch.tensor([0, 1, 2, -1])].tolist() == [-1, 2, 0, -1]


@pytest.mark.filterwarnings("ignore:.*Trainer.*")
def test_the_same_masks_cost_the_same_under_other_numbers(build, named, named_batch):
    model = excited(build())
    model.bind(named)
    excited(model)
    torch.manual_seed(3)
    before = model.loss(named_batch)
    model.bind(replace(named, raters=("Cleo", "Ann", "Ben")))  # Ann, Ben, Cleo are now 1, 2, 0
    moved = torch.tensor([1, 2, 0, -1])[named_batch.rater]
    torch.manual_seed(3)
    after = model.loss(replace(named_batch, rater=moved))
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, msg=name)


def test_weights_of_other_raters_are_refused(build, named):
    model = build()
    model.bind(named)
    stored = {"probseg": {"info": named.to_dict()}}
    model.on_load_checkpoint(stored)
    for names in (("Ben", "Ann", "Cleo"), ("Ann", "Ben")):
        other = {"probseg": {"info": replace(named, raters=names).to_dict()}}
        with pytest.raises(ProbsegError, match=r"E_CLASS_MISMATCH: the checkpoint's raters are"):
            model.on_load_checkpoint(other)


def test_a_checkpoint_tells_a_new_model_who_its_raters_are(build, named):
    model = build()
    model.on_load_checkpoint({"probseg": {"info": named.to_dict()}})
    assert model.known.names == RATERS


def test_an_unbound_one_says_so(build):
    with pytest.raises(ProbsegError, match="E_UNBOUND"):
        build()(torch.rand(1, 1, 8, 8), Draws(2))


def test_the_network_must_have_features(build):
    for family in (RaterConditioned, RaterConfusion):
        with pytest.raises(ProbsegError, match=r"E_SCHEMA.*features and head, which Conv2d lacks"):
            family(torch.nn.Conv2d(1, 3, 1))


# Whose readings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [2, 3])
@torch.no_grad()
def test_the_draws_are_the_raters_in_turn(build, named, dimensions):
    model = build(dimensions)
    model.bind(named)
    excited(model)
    image = torch.rand(2, 1, *(7, 6, 5)[:dimensions])
    whole = model(image, Draws(7, seed=4)).logits
    assert whole.shape == (1, 7, 2, 3, *image.shape[2:])
    alone = {}
    for name in RATERS:
        model.choose_rater(name)
        alone[name] = model(image, Draws(7)).logits
        assert alone[name].shape[:2] == (1, 1)
    model.choose_rater(None)
    turn = [RATERS[int(k)] for k in model.known.order(Draws(7, seed=4))]
    assert turn[:3] == turn[3:6] and turn[0] == turn[6] and set(turn) == set(RATERS)
    for k, name in enumerate(turn):
        torch.testing.assert_close(whole[0, k], alone[name][0, 0], atol=1e-5, rtol=1e-5)
    assert (alone["Ann"] - alone["Ben"]).abs().max() > 1e-2
    orders = {tuple(model.known.order(Draws(3, seed)).tolist()) for seed in range(60)}
    assert len(orders) == 6, "the seed decides who comes first"
    torch.testing.assert_close(model(image, Draws(2, seed=4)).logits, whole[:, :2], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_members_of_an_ensemble_know_the_raters_each_for_itself(build, named):
    model = Ensemble(build(), size=2).eval()
    model.bind(named)
    for member in model.members:
        assert member.known.names == RATERS
    assert model(torch.rand(2, 1, 8, 8), Draws(6)).logits.shape == (2, 3, 2, 3, 8, 8)


@torch.no_grad()
def test_what_stands_for_all_is_neither_of_them(build, named):
    model = build()
    model.bind(named)
    excited(model)
    image = torch.rand(1, 1, 8, 8)
    readings = model(image, Draws(3)).log_probs[0]
    model.choose_rater(model.central)
    central = model(image, Draws(3)).log_probs
    assert central.shape[:2] == (1, 1)
    assert all((central[0, 0] - r).abs().max() > 1e-3 for r in readings)


def test_a_stranger_is_refused_by_name(build, named):
    model = build(rater="Dora")
    with pytest.raises(ProbsegError, match=r"E_UNKNOWN_RATER.*no rater 'Dora'; it knows Ann, Ben, Cleo and (cons|tru)"):
        model.bind(named)
    model = build(rater="Ben")
    model.bind(named)
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER"):
        model.choose_rater("ann")


def test_a_rater_who_is_called_so_comes_first(build, named):
    name = build().central
    model = build(rater=name)
    model.bind(replace(named, raters=("Ann", name)))
    assert not model.is_central(name)
    model = build(rater=name)
    model.bind(named)
    assert model.is_central(name)


# What they learn from -------------------------------------------------------------------------------------------------


def test_what_nobody_rated_costs_nothing(build, named, named_batch):
    model = build()
    model.bind(named)
    excited(model)
    results = []
    for fill in (0, 2, 4):
        masks = torch.where(named_batch.rated, named_batch.masks, fill).to(torch.uint8)
        torch.manual_seed(1)
        model.zero_grad()
        terms = model.loss(replace(named_batch, masks=masks))
        terms["loss"].backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
        results.append(({k: v.item() for k, v in terms.items()}, gradients))
    for terms, gradients in results[1:]:
        assert terms == results[0][0]
        assert all(torch.equal(g, results[0][1][n]) for n, g in gradients.items())


def test_an_absent_rater_is_a_dropped_one(build, named, named_batch):
    """A slot more, in which nobody drew anything, changes neither the loss nor a gradient."""
    model = build(**({"consensus_share": 0.0} if build is FAMILIES["conditioned"] else {}))
    model.bind(named)
    excited(model)
    if isinstance(model, RaterConditioned):
        with torch.no_grad():
            model.styles.log_deviation.fill_(-20.0)  # else a slot more draws other noise
    pad = torch.nn.functional.pad
    more = replace(
        named_batch,
        masks=pad(named_batch.masks, (0, 0, 0, 0, 0, 1)),
        rated=pad(named_batch.rated, (0, 0, 0, 0, 0, 1)),
        rater=pad(named_batch.rater, (0, 1), value=-1),
        workload=pad(named_batch.workload, (0, 1)),
    )
    gradients = []
    for b in (named_batch, more):
        model.zero_grad()
        model.loss(b)["loss"].backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_each_rater_is_logged_by_name(build, named, named_batch):
    model = build()
    model.bind(named)
    terms = model.loss(named_batch)
    assert {k for k in terms if k.startswith("rater_")} == {"rater_Ann", "rater_Ben", "rater_Cleo"}
    only = replace(named_batch, rated=named_batch.rated & (named_batch.rater == 2)[:, :, None, None])
    assert {k for k in model.loss(only) if k.startswith("rater_")} == {"rater_Cleo"}
