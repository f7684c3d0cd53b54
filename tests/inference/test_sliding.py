from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.inference.sliding import _starts, _weights, slice_by_slice, sliding_window


def pointwise(x: torch.Tensor) -> SegmentationDistribution:
    """Two draws of two models that look at single voxels only, so windows cannot matter."""
    scale = torch.tensor([[1.0, -2.0], [0.5, 3.0]]).reshape(2, 2, *(1,) * x.ndim)
    first = scale * x
    return SegmentationDistribution(torch.cat([first, 0.3 * first.square(), -first], dim=3))


def together(slabs) -> tuple[list[int], torch.Tensor]:
    parts = [(list(range(p.start, p.stop)), d.probs) for p, d in slabs]
    return [k for ks, _ in parts for k in ks], torch.cat([probs for _, probs in parts], dim=2)


@given(st.integers(1, 60), st.integers(1, 20), st.floats(0, 0.95))
def test_windows_cover_an_axis_overlap_and_weigh_one(size: int, length: int, overlap: float) -> None:
    size = max(size, length)
    starts = _starts(size, length, overlap)
    assert starts[0] == 0 and starts[-1] == size - length
    assert all(0 < b - a <= max(1, length * (1 - overlap)) for a, b in pairwise(starts))
    total = torch.zeros(size, dtype=torch.float64)
    for start, weight in zip(starts, _weights(starts, length), strict=True):
        total[start : start + length] += weight
    torch.testing.assert_close(total, torch.ones(size, dtype=torch.float64))


@pytest.mark.parametrize("window", [(4, 5, 6), (3, 9, 11), (16, 4, 4), (7, 9, 11), (1, 1, 1), (20, 20, 20)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_looks_at_one_voxel_does_not_see_the_windows(window: tuple[int, int, int], batch_size: int) -> None:
    image = torch.randn(1, 7, 9, 11, generator=torch.Generator().manual_seed(0))
    order, probs = together(sliding_window(image, pointwise, window, 0.4, batch_size))
    whole = pointwise(image[None]).probs  # (2, 2, 1, 3, slices, rows, columns)
    assert order == list(range(7))
    torch.testing.assert_close(probs, whole[:, :, 0].movedim(3, 2), atol=1e-6, rtol=1e-5)


def test_windows_blend_probabilities_by_their_weights() -> None:
    # Two windows of 2 in an axis of 3: the middle voxel is seen by both, from equally far, so weights are 1/2. The
    # network says p = 1/4 in the first window and p = 3/4 in the second; blended logits would give sigmoid(0) as well,
    # so the second has p = 0.9: (1/4 + 0.9) / 2 = 0.575, while the logits' mean gives 0.634.
    said = iter([0.25, 0.9])

    def predict(x: torch.Tensor) -> SegmentationDistribution:
        p = torch.full((1, 1, 1, 1, *x.shape[2:]), next(said))
        return SegmentationDistribution(torch.cat([1 - p, p], dim=3).log())

    _, probs = together(sliding_window(torch.zeros(1, 3, 1, 1), predict, (2, 1, 1), 0.25))
    torch.testing.assert_close(probs[0, 0, :, 1, 0, 0], torch.tensor([0.25, 0.575, 0.9]))


def test_slices_come_in_order_whatever_the_batch() -> None:
    image = torch.randn(2, 7, 3, 4)
    for batch_size in (1, 2, 7, 50):
        order, probs = together(slice_by_slice(image[:1], pointwise, batch_size))
        assert order == list(range(7))
        torch.testing.assert_close(probs, pointwise(image[0][:, None]).probs)


@pytest.mark.parametrize(("window", "overlap"), [((4, 4), 0.2), ((4, 4, 0), 0.2), ((4, 4, 4), 1.0), ((4, 4, 4), -0.1)])
def test_windows_that_make_no_sense_are_refused(window: tuple[int, ...], overlap: float) -> None:
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        list(sliding_window(torch.zeros(1, 8, 8, 8), pointwise, window, overlap))
