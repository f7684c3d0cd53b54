"""The alarm of a latent that carries nothing."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegWarning
from probseg.models.collapse import CollapseAlarm, active_units

ALIKE = torch.ones(6, 2)
VARIED = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("kl", "means", "free_bits", "expected"),
    [
        ([0.02, 0.005], ALIKE, 0.0, 1),  # what costs nats carries something
        ([0.52, 0.48], ALIKE, 0.5, 1),  # beyond what is free, as well
        ([0.5, 0.5], ALIKE, 0.5, 0),  # free nats of a posterior that is the same for every mask
        ([0.3, 0.3], VARIED, 0.5, 1),  # within what is free, but it tells masks apart
        ([0.005, 0.005], VARIED, 0.5, 0),
        ([0.3, 0.005], VARIED[:1], 0.5, 1),  # one pair cannot vary
    ],
)
def test_active_units(kl, means, free_bits, expected):
    assert active_units(torch.tensor(kl), means, free_bits).item() == expected


def test_told_once_after_a_hundred_quiet_steps(recwarn):
    alarm = CollapseAlarm()
    quiet, alive = torch.tensor(0.0), torch.tensor(1.0)
    for _ in range(99):
        alarm.watch(quiet)
    alarm.watch(alive)
    for _ in range(99):
        alarm.watch(quiet)
    assert not recwarn.list
    with pytest.warns(ProbsegWarning, match=r"W_LATENT_COLLAPSE.*set free_bits"):
        alarm.watch(quiet)
    for _ in range(300):
        alarm.watch(quiet)
    assert not recwarn.list
