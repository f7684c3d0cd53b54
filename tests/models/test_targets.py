"""What the loss sees of several raters."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.batch import Example, collate
from probseg.errors import ProbsegError
from probseg.models import AverageRaters, BalancedRater, MajorityVote, RandomRater, VirtualMask
from probseg.models.targets import Target, rater_losses


def batch_of(
    masks: list[list[int]],
    rated: list[list[int]] | None = None,
    rater: tuple[int, ...] = (),
    workload: tuple[int, ...] = (),
    virtual: tuple[str, ...] = (),
):
    """One case of a 1 x n image, a row a rater."""
    m = torch.tensor(masks, dtype=torch.uint8).unsqueeze(1)
    r = torch.ones_like(m, dtype=torch.bool) if rated is None else torch.tensor(rated, dtype=torch.bool).unsqueeze(1)
    zeros = torch.zeros(1, *m.shape[1:])
    return collate([Example(zeros, m, r, 0, 0, "a", "", torch.ones(2), rater, workload, virtual)])


def test_average_gives_equal_shares_to_those_present():
    target = AverageRaters()(batch_of([[1, 0], [0, 0], [1, 1]], [[1, 1], [0, 0], [1, 0]]), 2)
    assert target.share.tolist() == [[0.5, 0, 0.5]]
    assert target.rated[0, :, 0].tolist() == [[True, True], [False, False], [True, False]]
    nobody = AverageRaters()(batch_of([[1, 0]], [[0, 0]]), 2)
    assert nobody.share.tolist() == [[0]]


def test_random_rater_is_uniform_among_those_present():
    torch.manual_seed(0)
    batch = batch_of([[1, 1], [2, 2], [3, 3], [4, 4]], [[1, 1], [1, 0], [0, 0], [1, 1]])
    counts = torch.zeros(5)
    draws = 3000
    for _ in range(draws):
        target = RandomRater()(batch, 5)
        assert target.share.tolist() == [[1]]
        label = int(target.labels[0, 0, 0, 0])
        assert target.rated[0, 0, 0].tolist() == ([True, False] if label == 2 else [True, True])
        counts[label] += 1
    assert counts[3] == counts[0] == 0
    # a third each; the standard deviation of a share of 3000 is below 0.009
    assert (counts[[1, 2, 4]] / draws - 1 / 3).abs().max() < 0.04


def test_random_rater_of_a_case_that_nobody_rated_costs_nothing():
    target = RandomRater()(batch_of([[1, 1], [1, 0]], [[0, 0], [0, 0]]), 2)
    assert not target.rated.any()
    assert target.share.tolist() == [[0]]


def test_majority_vote_gives_ties_to_the_lower_class():
    #          2:1  tie 0-1  tie 1-2  three ways  unanimous
    masks = [[1, 0, 1, 2, 2], [1, 1, 2, 1, 2], [0, 9, 9, 0, 2]]  # 9 is no leaf and does not vote
    target = MajorityVote()(batch_of(masks), 3)
    assert target.labels[0, 0, 0].tolist() == [1, 0, 1, 0, 2]
    assert target.rated.all()


def test_majority_vote_counts_rated_leaves_only():
    target = MajorityVote()(batch_of([[1, 2, 9], [1, 2, 9], [0, 0, 9]], [[0, 1, 1], [0, 0, 1], [1, 0, 1]]), 3)
    assert target.labels[0, 0, 0, :2].tolist() == [0, 2]
    assert target.rated[0, 0, 0].tolist() == [True, True, False]


def test_rater_order_changes_no_vote():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (5, 40), generator=generator)
    a = MajorityVote()(batch_of(masks.tolist()), 3)
    b = MajorityVote()(batch_of(masks[torch.randperm(5, generator=generator)].tolist()), 3)
    assert torch.equal(a.labels, b.labels)


# Who is who -----------------------------------------------------------------------------------------------------------


def test_a_target_says_whose_masks_it_holds():
    batch = batch_of([[1], [2], [3]], [[1], [0], [1]], (4, 0, 2), (1, 1, 1))
    assert AverageRaters()(batch, 5).rater.tolist() == [[4, 0, 2]]
    assert MajorityVote()(batch, 5).rater.tolist() == [[-1]]
    for strategy in (RandomRater(), BalancedRater()):
        for _ in range(20):
            target = strategy(batch, 5)
            label = int(target.labels)
            assert target.rater.tolist() == [[{1: 4, 3: 2}[label]]]
    unnamed = AverageRaters()(batch_of([[1], [2]]), 5)
    assert unnamed.rater.tolist() == [[-1, -1]]


def test_the_rarer_rater_is_drawn_the_more_often():
    # Rated 1, 3 and 6 examples; the fourth is absent. In proportion to 1, 1/3 and 1/6: two thirds, two ninths, a ninth.
    batch = batch_of([[1], [2], [3], [4]], [[1], [1], [1], [0]], (0, 1, 2, 3), (1, 3, 6, 1))
    torch.manual_seed(0)
    draws = 2000
    labels = [int(BalancedRater()(batch, 5).labels) for _ in range(draws)]
    shares = [labels.count(k) / draws for k in range(5)]
    # the standard deviation of a share of 2000 is at most 0.011
    assert shares == pytest.approx([0, 2 / 3, 2 / 9, 1 / 9, 0], abs=0.045)


def test_a_case_that_nobody_rated_costs_nothing_balanced_either():
    target = BalancedRater()(batch_of([[1], [1]], [[0], [0]], (0, 1), (3, 2)), 2)
    assert target.share.tolist() == [[0]] and not target.rated.any()


def test_masks_of_nobody_known_cannot_be_balanced():
    with pytest.raises(ProbsegError, match=r"E_UNSTABLE_RATERS: BalancedRater .*; use probseg.models.RandomRater"):
        BalancedRater()(batch_of([[1], [0]]), 2)


def test_a_virtual_mask_is_asked_for_by_name():
    batch = batch_of([[1, 1], [0, 1], [2, 2], [3, 3]], [[1, 1], [1, 1], [1, 0], [1, 1]], virtual=("STAPLE", "MAJORITY"))
    target = VirtualMask()(batch, 4)
    assert target.labels.tolist() == [[[[2, 0]]]]
    assert target.rated.tolist() == [[[[True, False]]]]
    assert (target.share.tolist(), target.rater.tolist()) == ([[1]], [[-1]])
    assert VirtualMask("MAJORITY")(batch, 4).labels.tolist() == [[[[3, 3]]]]
    assert AverageRaters()(batch, 4).labels.shape[1] == 2, "a virtual rater is no rater"
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER: the data have no virtual rater 'Ann', but STAPLE, MAJ"):
        VirtualMask("Ann")(batch, 4)
    with pytest.raises(ProbsegError, match=r"'STAPLE', but none; add it to data\.virtual_raters"):
        VirtualMask()(batch_of([[1]]), 2)


def test_each_raters_loss_by_hand():
    # Ann (0) rated two voxels of the first case and one of the second, Ben (1) one; a stranger counts for nobody.
    likelihood = -torch.tensor([[[1.0, 3.0], [5.0, 9.0]], [[8.0, 100.0], [7.0, 7.0]]])  # (batch, masks, voxels)
    rated = torch.tensor([[[1, 1], [1, 0]], [[1, 0], [1, 1]]], dtype=torch.bool)
    labels, share = torch.zeros(2, 2, 2), torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    target = Target(labels, rated, share, torch.tensor([[0, 1], [0, -1]]))
    losses = rater_losses(likelihood, target, ("Ann", "Ben", "Cleo"))
    assert {k: v.item() for k, v in losses.items()} == {"rater_Ann": (1 + 3 + 8) / 3, "rater_Ben": 5.0}
    assert rater_losses(likelihood, target, ()) == {}
    infinite = torch.where(rated, likelihood, -math.inf)  # what is not rated is not looked at
    assert rater_losses(infinite, target, ("Ann", "Ben")).keys() == {"rater_Ann", "rater_Ben"}
    assert all(torch.isfinite(v) for v in rater_losses(infinite, target, ("Ann", "Ben")).values())
