"""Log-likelihood of whole masks under many predictions, against the voxel-wise one."""

from __future__ import annotations

import pytest
import torch

from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.likelihood import label_log_likelihood, mask_log_likelihood

GROUPED = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=20),),
    unknown=255,
)


@pytest.mark.parametrize(("classes", "values"), [(2, 2), (3, 3), (3, 5)])
@pytest.mark.parametrize("everywhere", [True, False])
def test_equals_the_sum_over_voxels(classes: int, values: int, everywhere: bool):
    generator = torch.Generator().manual_seed(0)
    admissible = torch.from_numpy((LabelSet.binary("x") if classes == 2 else GROUPED).admissible)
    logits = 3 * torch.randn(4, 2, classes, 6, 5, generator=generator)
    labels = torch.randint(0, values, (2, 3, 6, 5), generator=generator).to(torch.uint8)
    rated = torch.ones(2, 3, 6, 5, dtype=torch.bool) if everywhere else torch.rand(2, 3, 6, 5) < 0.5
    got = mask_log_likelihood(logits, labels, rated, admissible)
    log_probs = torch.log_softmax(logits, dim=2)
    for mask in range(3):
        each = label_log_likelihood(log_probs, labels[:, mask], admissible, dim=2)
        slow = torch.where(rated[:, mask], each, 0.0).flatten(2).sum(dim=2)
        torch.testing.assert_close(got[:, :, mask], slow, atol=1e-4, rtol=1e-5)


def test_by_hand():
    """Two voxels, logits log 3 against 0 for class 1: it has 3/4. Mask (1, 0): log 3/4 + log 1/4."""
    logits = torch.tensor([0.0, 0.0, 3.0, 3.0]).reshape(1, 1, 2, 1, 2)
    logits[:, :, 1] = logits[:, :, 1].log()
    labels = torch.tensor([1, 0], dtype=torch.uint8).reshape(1, 1, 1, 2)
    got = mask_log_likelihood(logits, labels, torch.ones(1, 1, 1, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool))
    assert got.item() == pytest.approx(torch.tensor(3 / 16).log().item(), abs=1e-6)


def test_a_mask_that_nobody_rated_is_certain():
    labels = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
    rated = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    assert (
        mask_log_likelihood(torch.randn(3, 1, 2, 2, 2), labels, rated, torch.eye(2, dtype=torch.bool)).abs().max() == 0
    )
