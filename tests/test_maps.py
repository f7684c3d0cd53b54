"""The per-voxel summary."""

from __future__ import annotations

from dataclasses import fields

import torch

from probseg.distribution import SegmentationDistribution
from probseg.maps import UncertaintyMaps


def test_slices_of_a_scan_are_joined_as_if_they_were_one_batch():
    logits = torch.randn(2, 3, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    whole = SegmentationDistribution(logits).maps()
    parts = [SegmentationDistribution(logits[:, :, k : k + 1]).maps() for k in range(4)]
    joined = UncertaintyMaps.cat(parts).cpu()
    for field in fields(UncertaintyMaps):
        torch.testing.assert_close(getattr(joined, field.name), getattr(whole, field.name))
    assert whole.mean.shape == (4, 3, 5, 6)
    assert whole.mode.shape == whole.entropy.shape == (4, 5, 6)
    torch.testing.assert_close(whole.entropy, whole.epistemic + whole.ambiguity + whole.noise)
    torch.testing.assert_close(whole.mean.sum(1), torch.ones(4, 5, 6))
