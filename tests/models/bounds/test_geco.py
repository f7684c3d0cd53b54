"""A multiplier that finds itself and survives a restart."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from probseg.errors import ProbsegError
from probseg.models.bounds import Evidence, Geco

from .test_evidence import EVIDENCE


def evidence(cost: float) -> Evidence:
    return Evidence(
        *(torch.full((1, 3), -cost) if name == "log_likelihood" else v for name, v in vars(EVIDENCE).items())
    )


def test_hand_worked():
    bound = Geco(tolerance=10.0, smoothing=0.5, speed=0.1)
    terms = bound(evidence(12.0))  # the constraint is 2, its moving average 0 / 2 + 2 / 2
    assert terms["constraint"].item() == pytest.approx(1)
    assert terms["multiplier"].item() == pytest.approx(math.exp(0.1 * 1 / 10))
    assert terms["loss"].item() == pytest.approx(2.1 + math.exp(0.01) * 2)
    terms = bound(evidence(4.0))  # -6: the average is 1 / 2 - 6 / 2
    assert terms["constraint"].item() == pytest.approx(-2.5)
    assert terms["multiplier"].item() == pytest.approx(math.exp(0.01 - 0.025))


def test_the_multiplier_rises_until_the_constraint_holds_and_stays_within_bounds():
    bound = Geco(tolerance=10.0, smoothing=0.0, speed=0.5, bounds=(0.5, 4.0))
    seen = [bound(evidence(1e6))["multiplier"].item() for _ in range(5)]
    assert seen == pytest.approx([math.exp(0.5), math.exp(1), 4, 4, 4])  # a thousandfold excess counts once
    assert [bound(evidence(0.0))["multiplier"].item() for _ in range(9)][-1] == pytest.approx(0.5)
    assert bound(evidence(10.0))["multiplier"].item() == pytest.approx(0.5)


def test_it_moves_in_training_only_and_not_for_images_that_nobody_rated():
    bound = Geco(tolerance=1.0)
    assert bound(NOBODY)["loss"].item() == 0
    bound.eval()(evidence(50.0))
    assert (bound.multiplier.item(), bound.constraint.item()) == (1, 0)


def test_the_next_batch_may_come_before_the_gradient_of_this_one():
    bound = Geco(tolerance=1.0, speed=1.0, smoothing=0.0)
    cost = torch.tensor(5.0, requires_grad=True)
    costs = Evidence(*(-cost.expand(1, 3) if n == "log_likelihood" else v for n, v in vars(EVIDENCE).items()))
    first = bound(costs)
    bound(evidence(5.0))
    first["loss"].backward()  # in-place changes of the multiplier would be refused here
    assert cost.grad.item() == pytest.approx(first["multiplier"].item())


def test_a_restart_goes_on_as_if_nothing_had_happened():
    whole, first, second = (Geco(tolerance=7.0, speed=0.3) for _ in range(3))
    costs = [30.0, 20.0, 9.0, 5.0, 6.0, 8.0]
    expected = [whole(evidence(c))["loss"].item() for c in costs]
    got = [first(evidence(c))["loss"].item() for c in costs[:3]]
    second.load_state_dict(first.state_dict())
    assert got + [second(evidence(c))["loss"].item() for c in costs[3:]] == expected


NOBODY = Evidence(*(torch.zeros(3) if n == "weight" else v for n, v in vars(EVIDENCE).items()))


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    bound = Geco(tolerance=10.0, smoothing=0.0, speed=0.1)
    steps = [
        (evidence(12.0), evidence(16.0)),  # 2 and 6 above the tolerance
        (evidence(13.0), NOBODY),  # one process has no image that anybody rated, and still takes part
        (NOBODY, NOBODY),
    ]
    seen = []
    for pair in steps:
        bound(pair[rank])
        seen.append((bound.constraint.item(), bound.multiplier.item()))
    torch.save(seen, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_processes_move_by_what_all_of_them_saw(tmp_path: Path) -> None:
    mp.spawn(process, (str(tmp_path),), nprocs=2)
    constraints, multipliers = [4.0, 3.0, 3.0], [math.exp(0.04), math.exp(0.07), math.exp(0.07)]
    for rank in range(2):
        seen = torch.load(tmp_path / f"{rank}.pt")
        assert [c for c, _ in seen] == pytest.approx(constraints)
        assert [m for _, m in seen] == pytest.approx(multipliers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tolerance": 0.0}, "tolerance and speed above 0"),
        ({"tolerance": 1.0, "smoothing": 1.0}, "smoothing from 0 to below 1"),
        ({"tolerance": 1.0, "speed": 0.0}, "speed above 0"),
        ({"tolerance": 1.0, "bounds": (0.0, 2.0)}, "bounds of Geco"),
        ({"tolerance": 1.0, "bounds": (2.0, 3.0)}, "bounds of Geco"),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(ProbsegError, match=f"E_SCHEMA.*{message}"):
        Geco(**wrong)
