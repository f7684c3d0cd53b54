"""What is kept of the calibration cases: where, how much, with what weight."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.batch import Example
from probseg.calibrators import gather, marginal_nll
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

# classes 0 and 1 and unknown
ADMISSIBLE = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.bool)


def example(labels: list[list[int]], index: int = 0) -> Example:
    masks = torch.tensor(labels, dtype=torch.uint8)[:, None]
    looked = torch.ones_like(masks, dtype=torch.bool)
    return Example(torch.zeros(masks.shape[1:])[None], masks, looked, index, index, "a", "", torch.full((2,), math.nan))


def predict(image: torch.Tensor) -> SegmentationDistribution:
    """Foreground has 0.2 everywhere, so that the mode draws nothing."""
    p = torch.tensor([0.8, 0.2]).reshape(1, 1, 1, 2, 1, 1)
    return SegmentationDistribution(p.log().expand(1, 1, 1, 2, *image.shape[2:]))


def test_cases_count_alike_and_so_do_trials_within_one():
    # a: 2 raters, one drew the first of 2 voxels; b: 1 rater, 1 voxel of which is unknown
    sample = gather([example([[1, 0], [0, 0]]), example([[1, 2]], 1)], 2, predict, ADMISSIBLE, spatial=False)
    assert (sample.cases, sample.trials) == (2, 5)
    assert float(sample.votes.sum()) == pytest.approx(1)
    expected = (-(math.log(0.2) + 3 * math.log(0.8)) / 4 - math.log(0.2)) / 2
    assert float(marginal_nll(sample.distribution, sample)) == pytest.approx(expected)


def test_only_the_region_is_kept_and_cases_without_one_are_left_out():
    far = [[1] + [0] * 20]
    sample = gather([example(far), example([[0] * 21], 1)], 2, predict, ADMISSIBLE, spatial=False)
    assert sample.cases == 1
    assert sample.image.shape == (1, 1, 1, 6)  # the voxel and its five neighbours
    with pytest.raises(ProbsegError, match="E_NO_MASKS"):
        gather([example([[0, 0]])], 1, predict, ADMISSIBLE, spatial=False)


def test_memory_is_bounded_and_the_choice_is_the_seed_s():
    many = [example([[1] * 400], k) for k in range(4)]
    kept = [gather(many, 4, predict, ADMISSIBLE, False, seed, budget=2 * 4 * 30) for seed in (0, 0, 1)]
    assert kept[0].distribution.logits.numel() == 2 * 4 * 30
    assert torch.equal(kept[0].votes, kept[1].votes)

    def numbered(image):
        return SegmentationDistribution(torch.arange(800.0).reshape(1, 1, 1, 2, 1, 400))

    positions = [gather(many, 4, numbered, ADMISSIBLE, False, seed, budget=240) for seed in (0, 0, 1)]
    first, same, other = (p.distribution.logits for p in positions)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_patches_lie_on_the_region_and_end_with_the_image(sampled):
    sample = sampled(lambda z: z, spatial=True, space=(60, 20), budget=2 * 2 * 3 * 48 * 48 * 6 * 2)
    assert sample.distribution.logits.shape[2:] == (12, 2, 48, 48)
    assert float(sample.votes.sum()) == pytest.approx(1, rel=1e-5)
    assert not sample.votes[..., 20:].any()  # beyond the image
    assert sample.votes[..., :20].any()
    assert sample.cases == 6


def test_patches_of_volumes(sampled):
    sample = sampled(lambda z: z, spatial=True, space=(6, 20, 20), cases=2, budget=2 * 2 * 3 * 16**3 * 2)
    assert sample.distribution.logits.shape[2:] == (2, 2, 16, 16, 16)


def test_groups_count_by_the_classes_that_they_admit():
    admissible = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]], dtype=torch.bool)
    p = torch.tensor([0.5, 0.2, 0.3]).log().reshape(1, 1, 1, 3, 1, 1)
    sample = gather([example([[3], [1]])], 1, lambda _: SegmentationDistribution(p), admissible, spatial=False)
    assert float(marginal_nll(sample.distribution, sample)) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2)
