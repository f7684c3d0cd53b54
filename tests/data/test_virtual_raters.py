"""Virtual raters: fused once a case from the whole of it, seen by the targets that ask and by nobody else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from probseg.batch import NOBODY, Batch, collate
from probseg.data import stored_virtual, virtual_raters
from probseg.data.datamodule import MultiRaterData
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
from probseg.data.transforms import FlipAndTurn, Zoom
from probseg.data.virtual_raters import Majority, Staple
from probseg.errors import ProbsegError
from probseg.fusion import UNRATED, staple_labels
from probseg.manifest import open_dataset
from probseg.store import STORE


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six volumes; the third rater left some slices of each unread."""
    cases = generate(6, 0, DEFAULT_SITES[:2], default_raters(3), (5, 32, 32))
    return write(cases, tmp_path_factory.mktemp("virtual") / "ct", 0, shares=(0.5, 0.17, 0.0, 0.33))


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "ct"))


def module(root: Path | str, *virtual: virtual_raters.VirtualRater, **options: object) -> MultiRaterData:
    return MultiRaterData(str(root), virtual_raters=list(virtual), **options)  # type: ignore[arg-type]


def test_the_mask_is_that_of_the_whole_volume(root: Path) -> None:
    data = module(root, Staple(), slices=True)
    whole = {case.case_id: staple_labels(*case.stacked(), 9) for case in open_dataset(root)}
    examples = data.examples("train")
    alone = 0
    for example in (examples[k] for k in range(len(examples))):
        case_id, k = example.case_id.split("/")
        assert example.virtual == ("STAPLE",)
        assert example.num_raters == 3
        expected = whole[case_id][int(k)]
        np.testing.assert_array_equal(example.rated[-1].numpy(), expected != UNRATED)
        np.testing.assert_array_equal(example.masks[-1].numpy(), np.where(expected == UNRATED, 0, expected))
        by_slice = staple_labels(example.masks[:-1].numpy(), example.rated[:-1].numpy(), 9)
        alone += int((by_slice != expected).sum())
    assert alone > 0, "a slice by itself must judge the raters otherwise, or this test shows nothing"


def test_each_case_is_fused_once_and_never_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fused: list[str] = []

    def counting(case, virtual, classes):
        fused.append(case.case_id)
        return virtual_raters.fused(case, virtual, classes)

    monkeypatch.setattr(stored_virtual, "fused", counting)
    examples = module(root, Staple(), slices=True, crop=[8, 8]).examples("train")
    for k in (*range(len(examples)), *range(len(examples))):
        _ = examples[k]
    assert sorted(fused) == sorted(r.case_id for r in open_dataset(root).select(["train"]).records)
    before = len(fused)
    _ = module(root, Staple(), slices=True).examples("train")[0]
    assert len(fused) == before
    _ = module(root, Staple(tolerance=1e-3), slices=True).examples("train")[0]  # other settings are another rater
    assert len(fused) == 2 * before
    # a case whose masks changed is fused anew, and no other
    mask = next(p for p in root.rglob("*.nii*") if fused[0] in str(p) and "rater-1" in str(p))
    other = next(p for p in root.rglob("*.nii*") if fused[0] in str(p) and "rater-2" in str(p))
    shutil.copyfile(other, mask)
    _ = module(root, Staple(), slices=True).examples("train")[0]
    assert fused[2 * before :] == [fused[0]]


def test_nothing_is_fused_for_test_and_validation(root: Path) -> None:
    data = module(root, Staple(), slices=True)
    data.prepare_data()
    for split in ("validation", "test"):
        assert data.examples(split)[0].virtual == ()
        assert data.examples(split)[0].num_raters == 3
    assert not (root / STORE / "virtual").exists()


def test_a_batch_keeps_virtual_raters_apart(root: Path) -> None:
    data = module(root, Staple(), Majority(), slices=True, crop=[16, 16], batch_size=4)
    batch: Batch = next(iter(data.train_dataloader()))
    assert batch.virtual == ("STAPLE", "MAJORITY")
    assert batch.masks.shape == (4, 3, 16, 16)
    assert batch.virtual_masks.shape == batch.virtual_rated.shape == (4, 2, 16, 16)
    assert batch.rater.tolist() == [[0, 1, 2]] * 4


def test_every_transform_moves_them_with_the_raters() -> None:
    """On a sample whose raters agree, the virtual mask is theirs, and stays theirs."""
    data = module("lidc-sample", Majority(), transforms=[FlipAndTurn(), Zoom()], crop=[48, 48])
    examples = data.examples("train")
    torch.manual_seed(0)
    drawn = 0
    for k in range(0, 40):
        example = examples[k]
        masks, rated = example.masks[:-1], example.rated[:-1]
        agreed = rated.all(dim=0) & (masks == masks[0]).all(dim=0)
        assert torch.equal(example.masks[-1][agreed], masks[0][agreed])
        drawn += int(masks[0][agreed].sum())
    assert drawn > 0


def test_patches_are_placed_by_what_raters_drew() -> None:
    """The same random numbers give the same patches with a virtual rater as without."""
    plain = module("lidc-sample", crop=[16, 16], foreground=1.0).examples("train")
    fused = module("lidc-sample", Majority(), crop=[16, 16], foreground=1.0).examples("train")
    for k in range(5):
        torch.manual_seed(k)
        one = plain[k]
        torch.manual_seed(k)
        other = fused[k]
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.masks, other.masks[:-1])


@pytest.mark.parametrize("name", ["rater-1", "STAPLE"])
def test_a_name_belongs_to_one_rater(root: Path, name: str) -> None:
    second = Majority()
    second.name = name
    with pytest.raises(ProbsegError, match=f"E_DUPLICATE_RATER: virtual rater '{name}'"):
        module(root, Staple(), second)


def test_settings_that_cannot_be() -> None:
    for wrong in ({"tolerance": 0.0}, {"max_iterations": 0}):
        with pytest.raises(ProbsegError, match="E_SCHEMA: tolerance of Staple"):
            Staple(**wrong)


# Who drew what --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [True, False])
def test_a_batch_names_who_drew_each_mask(root: Path, slices: bool) -> None:
    data = module(root, slices=slices)
    assert data.info.raters == ("rater-1", "rater-2", "rater-3")
    examples = data.examples("train")
    records = {r.case_id: r for r in open_dataset(root).records}
    counts = np.zeros(3, int)
    for k in range(len(examples)):
        counts += examples[k].rated.flatten(1).any(dim=1).numpy()
    assert not slices or counts[2] < counts[0], "the third rater must have left slices unread"
    for k, entry in enumerate(examples.entries):
        example = examples[k]
        names = [x.rater for x in records[example.case_id.split("/")[0]].readings]
        assert [data.info.raters[n] for n in example.rater] == names
        assert example.workload == tuple(counts)
        assert set(entry.rated_by) == {n for n, r in zip(example.rater, example.rated, strict=True) if bool(r.any())}


def test_who_does_not_train_is_nobody(root: Path) -> None:
    """A rater who drew test cases only is not known to the model."""
    table = root / "cases.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines = [line.replace(",rater-2,", ",newcomer,") if line.endswith("test") else line for line in lines]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = module(root)
    assert data.info.raters == ("rater-1", "rater-2", "rater-3")
    example = data.examples("test")[0]
    names = [x.rater for x in data.part("test").records[0].readings]
    assert "newcomer" in names
    assert example.rater[names.index("newcomer")] == NOBODY


def test_slots_that_are_no_persons_are_nobody() -> None:
    data = module("lidc-sample")
    assert data.info.raters == ()
    batch = collate([data.examples("train")[k] for k in range(3)])
    assert (batch.rater == NOBODY).all()
    assert (batch.workload == 0).all()


def described(root: Path, **raters: object) -> None:
    """Write the block ``raters`` of the dataset's description anew."""
    path = root / "dataset.yaml"
    description = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**description, "raters": raters}), encoding="utf-8")


def test_a_repeated_reading_is_the_same_persons(root: Path) -> None:
    described(root, stable=True, repeats={"rater-2": "rater-1"})
    data = module(root)
    assert data.info.raters == ("rater-1", "rater-3")
    example = data.examples("train")[0]
    assert sorted(example.rater) == [0, 0, 1]
    cases = len(data.part("train"))
    assert dict(zip(example.rater, example.workload, strict=True)) == {0: 2 * cases, 1: cases}


def test_the_cases_name_the_raters_and_not_the_description(root: Path) -> None:
    described(root, stable=True, names=["rater-1"])
    with pytest.raises(ProbsegError, match=r"E_SCHEMA: raters in dataset\.yaml has no key 'names'; cases\.csv names"):
        open_dataset(root)
