"""MONAI's transforms move image and masks together; masks stay labels, and what comes from outside is not rated."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import seed_everything

from probseg.batch import Batch, Example
from probseg.data.datamodule import MultiRaterData
from probseg.data.monai_transforms import Monai
from probseg.errors import ProbsegError

LABELS = (0, 1, 7, 254)
BOTH = [(20, 20), (6, 18, 18)]


def one(name: str, **arguments: Any) -> Monai:
    return Monai([{"class_path": f"monai.transforms.{name}", "init_args": arguments}])


def moves(space: tuple[int, ...], **image: Any) -> list[Monai]:
    """Everything that moves voxels; ``image`` says how the image is to be interpolated and padded."""
    flat = len(space) == 2
    padding = {"padding_mode": "constant"} if image else {}
    return [
        one("RandFlipd", prob=0.5, spatial_axis=-1),
        one("RandAxisFlipd", prob=0.5),
        one("RandRotate90d", prob=0.8, spatial_axes=[-2, -1]),
        one("RandRotated", prob=0.8, range_x=0.6, range_y=0.0 if flat else 0.2, **image),
        one("RandZoomd", prob=0.8, min_zoom=0.6, max_zoom=1.6, **{**image, **padding}),
        one("RandAffined", prob=0.8, rotate_range=0.5, scale_range=0.3, translate_range=4, **image),
        one("Rand2DElasticd", prob=0.8, spacing=[6, 6], magnitude_range=[1, 2], **image)
        if flat
        else one("Rand3DElasticd", prob=0.8, sigma_range=[2, 3], magnitude_range=[20, 60], **image),
        one("RandGridDistortiond", prob=0.8, **image),
    ]


def changes(space: tuple[int, ...]) -> list[Monai]:
    """Everything that changes intensities alone."""
    upsample = "bilinear" if len(space) == 2 else "trilinear"
    return [
        one("RandGaussianNoised", prob=1.0, std=0.1),
        one("RandGaussianSmoothd", prob=1.0),
        one("RandScaleIntensityd", prob=1.0, factors=0.3),
        one("RandShiftIntensityd", prob=1.0, offsets=0.1),
        one("RandScaleIntensityFixedMeand", prob=1.0, factors=0.3),
        one("RandAdjustContrastd", prob=1.0, gamma=[0.6, 1.6]),
        one("RandSimulateLowResolutiond", prob=1.0, zoom_range=[0.5, 0.8], upsample_mode=upsample),
        one("RandBiasFieldd", prob=1.0),
    ]


def example(space: tuple[int, ...], seed: int = 0) -> Example:
    """Two raters; the image's channels are where the first drew label 1 and had rated, and where he had rated."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, len(LABELS), (2, *[-(-n // 4) for n in space]), generator=generator)
    fine = coarse
    for axis in range(1, len(space) + 1):
        fine = fine.repeat_interleave(4, axis)
    index = fine[(slice(None), *[slice(n) for n in space])]
    masks = torch.tensor(LABELS, dtype=torch.uint8)[index]
    rated = torch.rand(2, *space, generator=generator) < 0.8
    image = torch.stack([(masks[0] == 1) & rated[0], rated[0]]).float()
    return Example(image, masks * rated, rated, 3, 4, "a", "s", torch.ones(len(space)))


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from(BOTH))
def test_image_and_masks_move_together(seed: int, space: tuple[int, ...]) -> None:
    # Nearest and zeros for the image too, so that it must stay what the masks say of it, voxel by voxel.
    for transform in moves(space, mode="nearest", padding_mode="zeros"):
        torch.manual_seed(seed)
        after = transform(example(space))
        name = type(transform.transforms[0]).__name__
        assert torch.equal(after.image[0] == 1, (after.masks[0] == 1) & after.rated[0]), name
        assert torch.equal(after.image[1] == 1, after.rated[0]), name
        assert (after.masks[~after.rated] == 0).all()


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from(BOTH))
def test_no_transform_makes_a_label_or_another_shape(seed: int, space: tuple[int, ...]) -> None:
    before = example(space)
    for transform in moves(space) + changes(space):
        torch.manual_seed(seed)
        after = transform(before)
        assert (after.masks.dtype, after.rated.dtype, after.image.dtype) == (torch.uint8, torch.bool, torch.float32)
        assert type(after.image) is type(after.masks) is torch.Tensor
        assert after.image.shape == before.image.shape
        assert after.masks.shape == after.rated.shape == before.masks.shape
        for rater in range(2):
            assert set(after.masks[rater].unique().tolist()) <= set(before.masks[rater].unique().tolist()) | {0}
        assert 0 <= after.image.min() <= after.image.max() <= 1
        assert (after.index, after.patient, after.case_id, after.site) == (3, 4, "a", "s")
    for transform in changes(space):
        after = transform(before)
        assert torch.equal(after.masks, before.masks)
        assert torch.equal(after.rated, before.rated)


@pytest.mark.parametrize("space", BOTH)
def test_a_rater_who_rated_nothing_still_has_rated_nothing(space: tuple[int, ...]) -> None:
    before = example(space)
    before.rated[1] = False
    for transform in moves(space):
        assert not transform(before).rated[1].any()


def test_what_comes_from_outside_is_not_rated_and_mirrored_in_the_image() -> None:
    ones = torch.ones(1, 20, 20)
    before = Example(ones, ones.byte(), ones.bool(), 0, 0, "", "", torch.ones(2))
    shift = one("RandAffined", prob=1.0, translate_range=[[5, 5], [0, 0]], padding_mode="reflection")
    after = shift(before)
    assert after.rated.sum() == 15 * 20
    assert torch.equal(after.masks.bool(), after.rated)
    assert after.image.min() > 0.99


@pytest.mark.parametrize("space", BOTH)
def test_a_seed_gives_the_same_example_again(space: tuple[int, ...]) -> None:
    before = example(space)
    before = Example(**{**vars(before), "image": torch.rand(2, *space)})
    for transform in moves(space) + changes(space):
        drawn = []
        for seed in (*range(10), *range(10)):
            torch.manual_seed(seed)
            drawn.append(pickle.loads(pickle.dumps(transform))(before) if seed % 2 else transform(before))
        name = type(transform.transforms[0]).__name__
        for first, second in zip(drawn[:10], drawn[10:], strict=True):
            assert torch.equal(first.image, second.image), name
            assert torch.equal(first.masks, second.masks), name
        assert any(not torch.equal(drawn[0].image, other.image) for other in drawn[1:]), f"{name} does nothing"


def batches(workers: int) -> list[Batch]:
    seed_everything(5, verbose=False)
    transforms = Monai(
        [
            {"class_path": "monai.transforms.RandAffined", "init_args": {"prob": 0.9, "rotate_range": 1.0}},
            {"class_path": "monai.transforms.RandGaussianNoised", "init_args": {"prob": 0.9, "std": 0.1}},
        ]
    )
    data = MultiRaterData("lidc-sample", 4, transforms=[transforms], epoch_length=16, num_workers=workers)
    return list(data.train_dataloader())


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_workers_are_reproducible_and_do_not_repeat_one_another() -> None:
    first, second = batches(2), batches(2)
    assert len(first) == 4
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.masks, b.masks)
    assert len({float(b.image.sum()) for b in first}) == 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"class_path": "monai.transforms.NoSuchd"}, "there is no transform 'monai.transforms.NoSuchd'"),
        ({"class_path": "monai.transforms.RandFlip"}, "is no dictionary transform"),
        ({"class_path": "RandFlipd"}, "there is no transform 'RandFlipd'"),
        ({"class_path": "monai.transforms.RandFlipd", "init_args": {"probability": 1}}, "RandFlipd: .*'probability'"),
        ({"class_path": "monai.transforms.RandFlipd", "init_args": {"keys": ["image"]}}, "keys of RandFlipd must be"),
        ({"class_path": "monai.transforms.RandFlipd", "init_args": {"keys": ["image", "label"]}}, "keys of RandFlipd"),
        ({"class_path": "monai.transforms.RandFlipd", "prob": 1}, "is a class_path with init_args"),
        (
            {"class_path": "monai.transforms.RandAffined", "init_args": {"mode": ["bilinear", "bilinear"]}},
            "mode of RandAffined must be 'nearest' for the masks",
        ),
        (
            {"class_path": "monai.transforms.RandZoomd", "init_args": {"padding_mode": ["edge", "edge"]}},
            "padding_mode of RandZoomd must be 'constant' for the masks",
        ),
    ],
)
def test_what_cannot_be_is_one_error(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ProbsegError, match=f"E_SCHEMA: .*{message}"):
        Monai([entry])


def test_faults_that_only_an_image_shows_are_errors_too() -> None:
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH: RandRotate90d made"):
        one("RandRotate90d", prob=1.0, max_k=1)(example((12, 20)))
    with pytest.raises(ProbsegError, match="E_SCHEMA: RandSimulateLowResolutiond of an image"):
        one("RandSimulateLowResolutiond", prob=1.0)(example((12, 20)))
    with pytest.raises(ProbsegError, match="no whole numbers"):
        one("RandGaussianNoised", prob=1.0, keys=["image", "masks"])(example((12, 20)))
    with pytest.raises(ProbsegError, match="at least one"):
        Monai([])


def test_the_ready_made_list_works(repository: Path) -> None:
    data = yaml.safe_load((repository / "experiments" / "synthetic" / "data.yaml").read_text())["data"]
    (entry,) = [t for t in data["transforms"] if t["class_path"].endswith("Monai")]
    transform = Monai(**entry["init_args"])
    torch.manual_seed(0)
    before = example((96, 96))
    after = [transform(before) for _ in range(20)]
    assert len({float(a.image.sum()) for a in after}) > 10
