"""What a family made of another passes on."""

from __future__ import annotations

import torch

from probseg.batch import Batch
from probseg.models import CentreFirst, Constant, Deterministic, RandomRater, TestTimeAugmentation
from probseg.models.checkpoints import describe
from probseg.networks import UNet


def member(**settings) -> Deterministic:
    return Deterministic(UNet(1, 3, (4, 8)), **settings)


def test_the_member_decides_how_it_is_trained(info, batch: Batch):
    given = {
        **{"target": RandomRater(), "warmup": 0.3, "warm_start": "elsewhere", "optimizer": torch.optim.SGD},
        **{"schedule": Constant(), "curriculum": CentreFirst([8, 8])},
    }
    model = TestTimeAugmentation(member(**given))
    assert {name: getattr(model, name) for name in given} == given
    model.bind(info)
    assert model.member.info is info
    model.eval()
    torch.manual_seed(0)
    ours = model.loss(batch)
    torch.manual_seed(0)
    alone = model.member.loss(batch)
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in alone.items()}
    ours["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_weights_of_the_members_family_go_to_the_member(info, tmp_path):
    torch.manual_seed(1)
    trained = member()
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "best.ckpt"
    torch.save({"state_dict": trained.state_dict(), "probseg": describe(info, None)}, path)
    model = TestTimeAugmentation(member())
    model.start_from(path)
    assert all(torch.equal(v, model.member.state_dict()[k]) for k, v in trained.state_dict().items())


def test_what_a_checkpoint_says_of_the_data_reaches_the_member(info):
    model = TestTimeAugmentation(member())
    model.on_load_checkpoint({"probseg": describe(info, None)})
    assert model.info == model.member.info == info
