"""What part of its images a training sees early on."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models import CentreFirst, Deterministic
from probseg.networks import UNet


def test_the_same_centre_of_image_and_masks_until_its_share_is_over(batch):
    window = CentreFirst((8, 20), until=0.5)(batch, 0.49)
    assert window.image.shape[2:] == (8, 12)  # the images are 16 x 12: an axis that is shorter is whole
    assert torch.equal(window.image, batch.image[:, :, 4:12])
    assert torch.equal(window.masks, batch.masks[:, :, 4:12])
    assert torch.equal(window.rated, batch.rated[:, :, 4:12])
    assert window.case_ids == batch.case_ids
    assert CentreFirst((8, 8), until=0.5)(batch, 0.5) is batch


def test_jitter_moves_the_window_within_the_image(batch):
    rows = torch.arange(16.0).reshape(1, 1, 16, 1).expand(2, 1, 16, 12)
    moved = {
        int(CentreFirst((8, 12), jitter=9)(type(batch)(**{**vars(batch), "image": rows}), 0.0).image[0, 0, 0, 0])
        for _ in range(200)
    }
    assert moved == set(range(9))


def test_training_begins_on_windows_and_ends_on_whole_images(info, batch, monkeypatch):
    model = Deterministic(UNet(1, 3, (4, 8)), curriculum=CentreFirst((8, 8), until=0.5))
    model.bind(info)
    assert model.curriculum(batch, model._progress()).image.shape[2:] == (8, 8)
    monkeypatch.setattr(model, "_progress", lambda: 0.9)
    assert model.curriculum(batch, model._progress()).image.shape[2:] == (16, 12)


@pytest.mark.parametrize("wrong", [((), 0.5, 0), ((0, 8), 0.5, 0), ((8, 8), 1.5, 0), ((8, 8), 0.5, -1)])
def test_settings_are_checked(wrong):
    with pytest.raises(ProbsegError, match="CentreFirst needs"):
        CentreFirst(*wrong)


def test_another_number_of_axes_is_refused(batch):
    with pytest.raises(ProbsegError, match="must have 2 numbers"):
        CentreFirst((8, 8, 8))(batch, 0.0)
