"""A loss that is no number."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models.step_loss import require_finite_loss


def test_a_number_passes(batch):
    require_finite_loss(torch.tensor(3.0), batch, None)


def test_every_case_is_named_unless_an_image_is_at_fault(batch):
    with pytest.raises(ProbsegError, match="E_NONFINITE_LOSS: the loss of step 0 is nan on 0, 1; lower"):
        require_finite_loss(torch.tensor(torch.nan), batch, None)
    image = batch.image.clone()
    image[1, 0, 3, 3] = torch.inf
    with pytest.raises(ProbsegError, match="the loss of step 0 is inf on 1; lower"):
        require_finite_loss(torch.tensor(torch.inf), dataclasses.replace(batch, image=image), None)
