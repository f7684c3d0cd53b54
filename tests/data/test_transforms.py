"""Image and masks move together, masks stay labels, and what comes from outside is not rated."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.batch import Example
from probseg.data.transforms import FlipAndTurn, Intensity, Zoom
from probseg.errors import ProbsegError

LABELS = (0, 1, 7, 254)


def example(space: tuple[int, ...]) -> Example:
    """The image is the first rater's mask, smooth enough to be followed; all voxels rated but one corner."""
    masks = torch.zeros(2, *space, dtype=torch.uint8)
    rows, columns = space[-2:]
    masks[..., rows // 4 : rows // 2, columns // 4 : columns // 2] = 7
    masks[1, ..., rows // 2 :, columns // 2 :] = 254
    rated = torch.ones(2, *space, dtype=torch.bool)
    rated[..., 0, 0] = False
    return Example((masks[:1] == 7).float(), masks, rated, 3, 4, "a", "s", torch.ones(len(space)))


@given(st.integers(0, 10_000), st.sampled_from([(12, 12), (8, 14), (3, 10, 10)]))
def test_flips_and_turns_keep_every_voxel_with_its_labels(seed, space):
    torch.manual_seed(seed)
    before, after = example(space), FlipAndTurn()(example(space))
    assert after.image.shape == before.image.shape
    assert torch.equal(after.image[0] == 1, after.masks[0] == 7)
    assert torch.equal(after.masks.flatten(1).sort(1).values, before.masks.flatten(1).sort(1).values)
    assert (~after.rated).sum() == (~before.rated).sum()
    assert (after.index, after.patient, after.case_id) == (3, 4, "a")


def test_all_eight_positions_are_met():
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        image = FlipAndTurn()(example((6, 6))).rated[0]
        seen.add(tuple(FlipAndTurn()(example((6, 6))).masks[1].flatten().tolist()) + tuple(image.flatten().tolist()))
    corners = {tuple((~FlipAndTurn()(example((6, 6))).rated[0]).nonzero()[0].tolist()) for _ in range(100)}
    assert corners == {(0, 0), (0, 5), (5, 0), (5, 5)}
    assert len(seen) > 8


@given(st.integers(0, 10_000), st.sampled_from([(24, 24), (20, 32), (2, 24, 24)]))
def test_zoom_makes_no_new_labels_and_image_and_masks_stay_together(seed, space):
    torch.manual_seed(seed)
    after = Zoom(1.5, 30.0, 0.1)(example(space))
    assert after.image.shape == (1, *space)
    assert after.masks.dtype == torch.uint8 and after.rated.dtype == torch.bool
    assert set(after.masks.unique().tolist()) <= set(LABELS)
    both = after.rated[0]
    inside = (after.image[0] > 0.75) & both
    outside = (after.image[0] < 0.25) & both
    assert (after.masks[0][inside] == 7).all()
    assert (after.masks[0][outside] != 7).all()


def test_what_comes_from_outside_is_not_rated(monkeypatch):
    draws = iter([0.0, 0.0, 0.5, 0.5, 0.5])  # change it; the smallest factor; no turn, no shift
    monkeypatch.setattr(torch, "rand", lambda *a, **k: torch.tensor(next(draws)))
    before = example((16, 16))
    before.rated[..., 0, 0] = True
    after = Zoom(2.0, 30.0, 0.05)(before)
    inner = torch.zeros(16, 16, dtype=torch.bool)
    inner[4:12, 4:12] = True  # half the size, in the middle
    assert torch.equal(after.rated[0], inner)
    assert (after.masks[:, ~inner] == 0).all()


def test_zoom_with_nothing_to_change_changes_nothing():
    before = example((16, 12))
    after = Zoom(1.0, 0.0, 0.0)(before)
    torch.testing.assert_close(after.image, before.image)
    assert torch.equal(after.masks, before.masks) and torch.equal(after.rated, before.rated)
    assert Zoom(2.0, probability=0.0)(before) is before
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        Zoom(0.5)


def test_a_turn_is_a_turn_on_images_that_are_not_square(monkeypatch):
    draws = iter([0.0, 0.5, 1.0, 0.5, 0.5])  # no scale, the whole angle
    monkeypatch.setattr(torch, "rand", lambda *a, **k: torch.tensor(next(draws)))
    masks = torch.zeros(1, 20, 40, dtype=torch.uint8)
    masks[0, 9:11, 10:30] = 1  # a bar 20 wide and 2 high
    rated = torch.ones_like(masks, dtype=torch.bool)
    turned = Zoom(1.0, 90.0, 0.0)(Example(masks.float(), masks, rated, 0, 0, "a", "", torch.ones(2)))
    expected = torch.zeros_like(masks)
    expected[0, :, 19:21] = 1
    assert torch.equal(turned.masks, expected)


@given(st.integers(0, 10_000))
def test_intensity_stays_within_the_window_and_leaves_masks_alone(seed):
    torch.manual_seed(seed)
    before = example((8, 8))
    after = Intensity(1.0, 0.5, 0.2)(before)
    assert 0 <= after.image.min() <= after.image.max() <= 1
    assert after.masks is before.masks and after.rated is before.rated
    still = Intensity(0.0, 0.0, 0.0)(before)
    torch.testing.assert_close(still.image, before.image)
