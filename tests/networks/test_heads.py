"""How heads start."""

from __future__ import annotations

import torch

from probseg.networks.heads import expected_logits


def test_shares_of_the_classes():
    torch.testing.assert_close(expected_logits(4, 0.3).softmax(0), torch.tensor([0.7, 0.1, 0.1, 0.1]))
