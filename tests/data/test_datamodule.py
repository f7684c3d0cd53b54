"""The bundled sample through the data module: splits by patient, batches, what is changed and what is not."""

from __future__ import annotations

import pytest
import torch

from probseg.data.datamodule import MultiRaterData
from probseg.data.transforms import FlipAndTurn, Intensity
from probseg.errors import ProbsegError


@pytest.fixture(scope="module")
def data() -> MultiRaterData:
    return MultiRaterData("lidc-sample", batch_size=6, transforms=[FlipAndTurn(), Intensity()], epoch_length=20)


def test_no_patient_is_in_two_splits(data):
    patients = {
        split: {data.examples(split)[k].patient for k in range(len(data.examples(split)))}
        for split in ("train", "validation", "test", "calibration")
    }
    names = [p for numbers in patients.values() for p in numbers]
    assert len(names) == len(set(names)) == len(data.dataset.patients)
    assert all(patients.values())


def test_loaders(data):
    train = list(data.train_dataloader())
    assert [len(b) for b in train] == [6, 6, 6]  # 20 examples; the two left over wait for another epoch
    whole = list(data.test_dataloader())
    assert len(whole[0]) == 12
    assert torch.cat([b.index for b in whole]).tolist() == list(range(len(data.examples("test"))))
    again = list(data.test_dataloader())
    assert all(torch.equal(a.image, b.image) for a, b in zip(whole, again, strict=True))
    assert train[0].masks.shape[1] == 4


def test_only_training_is_cropped_and_changed():
    data = MultiRaterData("lidc-sample", batch_size=4, crop=[32, 24], epoch_length=4)
    assert next(iter(data.train_dataloader())).image.shape == (4, 1, 32, 24)
    assert next(iter(data.val_dataloader())).image.shape[2:] == (64, 64)


def test_an_epoch_shorter_than_a_batch_is_one_batch():
    data = MultiRaterData("lidc-sample", batch_size=64, epoch_length=3)
    assert [len(b) for b in data.train_dataloader()] == [3]


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"foreground": 1.5}, {"epoch_length": 0}, {"crop": [0, 4]}, {"num_workers": -1}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        MultiRaterData("lidc-sample", **wrong)
