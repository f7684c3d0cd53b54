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


def test_validation_may_be_of_the_same_patches_every_time():
    settings = {"validation_crop": [24, 32], "validation_patches": 3, "foreground": 1.0}
    data = MultiRaterData("lidc-sample", batch_size=4, **settings)
    torch.manual_seed(1)
    first = list(data.val_dataloader())
    before = torch.get_rng_state()
    assert torch.equal(data.val_dataloader().dataset[1].image, first[0].image[1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = list(data.val_dataloader())
    assert all(
        torch.equal(a.image, b.image) and torch.equal(a.masks, b.masks) for a, b in zip(first, again, strict=True)
    )
    assert first[0].image.shape == (8, 1, 24, 32)
    index = torch.cat([b.index for b in first])
    assert index.tolist() == [k for k in range(len(data.examples("validation"))) for _ in range(3)]
    assert all(bool((masks > 0).any()) for batch in first for masks in batch.masks)  # placed on what was drawn
    assert not torch.equal(first[0].image[0], first[0].image[1])


def test_an_epoch_shorter_than_a_batch_is_one_batch():
    data = MultiRaterData("lidc-sample", batch_size=64, epoch_length=3)
    assert [len(b) for b in data.train_dataloader()] == [3]


def test_the_seed_of_the_run_is_that_of_the_data_unless_they_have_their_own():
    def first(seed: int, own: int | None = None) -> torch.Tensor:
        torch.manual_seed(seed)
        data = MultiRaterData("lidc-sample", 4, transforms=[Intensity()], epoch_length=4, seed=own)
        torch.rand(seed)  # what was drawn meanwhile makes no difference
        return next(iter(data.train_dataloader())).image

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
    assert torch.equal(first(1, own=7), first(2, own=7))


def test_the_place_in_the_order_goes_into_the_checkpoint_and_back():
    def data() -> MultiRaterData:
        return MultiRaterData("lidc-sample", 4, epoch_length=12, seed=0)

    first, second = data(), data()
    assert first.state_dict() == {"drawn": 0}
    batches = first.train_dataloader()
    whole = [b.case_ids for _ in range(2) for b in batches]
    assert first.state_dict() == {"drawn": 6}
    second.load_state_dict({"drawn": 3})  # Lightning does so before it asks for the loader
    assert [b.case_ids for b in second.train_dataloader()] == whole[3:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"foreground": 1.5},
        {"epoch_length": 0},
        {"crop": [0, 4]},
        {"validation_crop": [0, 4]},
        {"num_workers": -1},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        MultiRaterData("lidc-sample", **wrong)
