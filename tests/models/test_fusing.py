"""Optimisers that update all weights at once."""

from __future__ import annotations

import pytest
import torch

from probseg.models.fusing import fuse_on_processor

KINDS = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD)


def weights() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_steps_in_one_pass(kind):
    plain, fused = weights(), weights()
    optimizers = [kind(params, lr=0.1, weight_decay=0.01) for params in (plain, fused)]
    fuse_on_processor(optimizers[1])
    assert optimizers[1].param_groups[0]["fused"] and not optimizers[0].param_groups[0]["fused"]
    for step in range(5):
        for params, optimizer in zip((plain, fused), optimizers, strict=True):
            for k, p in enumerate(params):
                p.grad = torch.full_like(p, 0.1 * step - 0.2) + k
            optimizer.step()
    for a, b in zip(plain, fused, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("settings", [{"fused": False}, {"foreach": True}, {"differentiable": True}])
def test_what_the_user_decided_stays(settings):
    optimizer = torch.optim.AdamW(weights(), **settings)
    fuse_on_processor(optimizer)
    assert not optimizer.param_groups[0]["fused"]


def test_optimisers_that_cannot_are_left_alone():
    optimizer = torch.optim.RMSprop(weights())
    fuse_on_processor(optimizer)
    assert "fused" not in optimizer.param_groups[0]
