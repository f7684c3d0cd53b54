"""What the loss sees of several raters."""

from __future__ import annotations

import torch

from probseg.batch import Example, collate
from probseg.models import AverageRaters, MajorityVote, RandomRater


def batch_of(masks: list[list[int]], rated: list[list[int]] | None = None):
    """One case of a 1 x n image, a row a rater."""
    m = torch.tensor(masks, dtype=torch.uint8).unsqueeze(1)
    r = torch.ones_like(m, dtype=torch.bool) if rated is None else torch.tensor(rated, dtype=torch.bool).unsqueeze(1)
    return collate([Example(torch.zeros(1, *m.shape[1:]), m, r, 0, 0, "a", "", torch.ones(2))])


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
