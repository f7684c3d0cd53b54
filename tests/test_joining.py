"""Several datasets as one: names, labels by their meaning, and one model that learns from each what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.cli import main
from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import nifti
from probseg.joining import JoinedDataset, join, open_datasets, translation
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.manifest import COLUMNS, open_dataset
from probseg.models import Deterministic, load_model
from probseg.records import DatasetInfo

LEAVES = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid"), LabelClass(3, "effusion")),
    (
        LabelGroup("opacity", ("glass", "solid"), value=20),
        LabelGroup("no opacity", ("background", "effusion"), value=30),
    ),
    unknown=255,
)  # dense labels 0 to 3, opacity 4, no opacity 5, unknown 6
INFECTION = LabelSet((LabelClass(0, "rest"), LabelClass(1, "opacity")), unknown=9)
TWO = LabelSet((LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")))
GRID = Geometry((2, 12, 12), (2.5, 0.5, 0.5))
# Intensity of a voxel says what it is.
GREY = {"background": 10, "glass": 40, "solid": 90}
NAMES = ("background", "glass", "solid")


def info(name: str, labels: LabelSet, **more) -> DatasetInfo:
    return DatasetInfo(name, 3, labels, (0.0, 100.0), **more)


def write(root: Path, description: DatasetInfo, values: dict[str, int], rater: str = "R1", site: str = "") -> Path:
    """Four cases of one rater, two to train on; ``values`` are what each kind of voxel is in the masks."""
    root.mkdir()
    (root / "dataset.yaml").write_text(yaml.safe_dump(description.to_dict()))
    rows = [",".join(COLUMNS)]
    rng = np.random.default_rng(sum(map(ord, description.name)))
    for k, split in enumerate(("train", "train", "validation", "test")):
        kind = rng.integers(0, 3, (2, 3, 3)).repeat(4, 1).repeat(4, 2)
        nifti.write(root / f"{k}.nii.gz", np.array([GREY[n] for n in NAMES], np.int16)[kind], GRID)
        nifti.write(root / f"m{k}.nii.gz", np.array([values[n] for n in NAMES], np.uint8)[kind], GRID)
        patient = "p" if split == "train" else split
        rows.append(f"{k},{patient},{site},{k}.nii.gz,{rater},m{k}.nii.gz,all,{split}")
    (root / "cases.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    return write(tmp_path / "a", info("a", LEAVES), {"background": 0, "glass": 5, "solid": 10}, site="Lyon")


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    return write(tmp_path / "b", info("b", INFECTION), {"background": 0, "glass": 1, "solid": 1}, "R2")


@pytest.fixture
def unknowns(tmp_path: Path) -> Path:
    return write(tmp_path / "c", info("c", INFECTION), {"background": 9, "glass": 9, "solid": 9}, "R3")


# Labels ---------------------------------------------------------------------------------------------------------------


def test_labels_are_matched_by_name_and_background_by_what_was_not_labelled():
    goal = info("a", LEAVES)
    assert translation(goal, goal).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert translation(info("b", INFECTION), goal).tolist() == [5, 4, 6]  # the rest may be effusion
    assert translation(info("c", TWO), goal).tolist() == [5, 1, 2]
    four = LabelSet((*TWO.classes, LabelClass(7, "effusion")), (LabelGroup("opacity", ("glass", "solid"), 8),))
    assert translation(info("d", four), goal).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (LabelSet.binary("cyst"), "label 'cyst' of dataset 'b' is neither a class of 'a' nor"),
        (LabelSet((*TWO.classes, LabelClass(3, "opacity"))), "exclude each other there"),
        (LabelSet.binary("glass"), "does not label solid, effusion, which its background may hold; give 'a' a group"),
        (LabelSet((*TWO.classes, LabelClass(3, "effusion")), (LabelGroup("opacity", ("glass",), 8),)), "other classes"),
        (LabelSet(TWO.classes, (LabelGroup("no opacity", ("background", "glass"), 8),)), "other classes"),
    ],
)
def test_labels_without_a_counterpart(labels: LabelSet, what: str):
    with pytest.raises(ProbsegError, match=f"E_CLASS_MISMATCH.*{what}"):
        translation(info("b", labels), info("a", LEAVES))


# Cases ----------------------------------------------------------------------------------------------------------------


def test_nobody_is_taken_for_somebody_else(leaves: Path, groups: Path):
    joined = open_datasets([leaves, groups])
    assert isinstance(joined, JoinedDataset) and joined.info.name == "a + b" and joined.info.labels == LEAVES
    assert [r.case_id for r in joined.records] == [f"{d}:{k}" for d in "ab" for k in range(4)]
    assert joined.patients == ("a:p", "a:test", "a:validation", "b:p", "b:test", "b:validation")
    assert joined.sites == ("Lyon", "b")
    assert joined.with_known_raters().info.raters == ("R1", "R2")
    own, case = next(iter(open_dataset(groups))), list(joined)[4]
    assert (case.case_id, case.patient_id, case.site) == ("b:0", "b:p", "b")
    assert_array_equal(case.masks["R2"], np.where(own.masks["R2"] == 1, 4, 5))
    assert_array_equal(case.image, own.image)
    assert len(joined.select(splits=["test"], sites=["b"])) == 1
    assert len(open_datasets([leaves])) == len(open_datasets(str(leaves))) == 4


def test_raters_of_one_name_may_be_two_persons(tmp_path: Path, leaves: Path):
    other = write(tmp_path / "x", info("x", INFECTION), {"background": 0, "glass": 1, "solid": 1}, "R1")
    with pytest.warns(ProbsegWarning, match="W_RATER_NAME_COLLISION: a rater 'R1'"):
        joined = open_datasets([leaves, other])
    assert not joined.info.stable_raters and joined.with_known_raters().info.raters == ()


def test_what_cannot_be_joined(leaves: Path, groups: Path):
    a, b = open_dataset(leaves), open_dataset(groups)
    with pytest.raises(ProbsegError, match="E_SCHEMA: two of the joined datasets are called 'a'"):
        join([a, b, a])
    (groups / "dataset.yaml").write_text(yaml.safe_dump(b.info.to_dict() | {"window": [0.0, 50.0]}))
    with pytest.raises(ProbsegError, match=r"E_SCHEMA: the window of joined .* 'b' \(0.0, 50.0\)"):
        open_datasets([leaves, groups])
    with pytest.raises(ProbsegError, match="E_SCHEMA: a list of datasets"):
        open_datasets([])


# Reading --------------------------------------------------------------------------------------------------------------


def test_the_stores_of_all_give_what_the_cases_give(leaves: Path, groups: Path):
    data = MultiRaterData([str(leaves), str(groups)], slices=True, crop=[6, 6], foreground=1.0, seed=0)
    data.prepare_data()
    assert data.store is not None and (groups / ".store").is_dir()
    cases = {case.case_id: case for case in data.part("validation")}
    examples = data.examples("validation")
    assert [e.case_id for e in examples.entries] == ["a:2/0", "a:2/1", "b:2/0", "b:2/1"]
    for example in (examples[k] for k in range(4)):
        name, k = example.case_id.split("/")
        (mask,) = cases[name].masks.values()
        assert_array_equal(example.masks[0].numpy(), mask[int(k)])
    whole = data.store.load(data.dataset.records[4])
    assert_array_equal(whole.masks["R2"], list(data.dataset)[4].masks["R2"])
    drawn = {1, 2, 3, 4}  # and not what may be background
    training = data.examples("train")
    assert all(drawn & set(training[k].masks.unique().tolist()) for k in range(len(training)))


def test_several_datasets_keep_their_own_stores(leaves: Path, groups: Path, tmp_path: Path):
    with pytest.raises(ProbsegError, match="E_SCHEMA: each of several datasets keeps its own store"):
        MultiRaterData([str(leaves), str(groups)], store=str(tmp_path / "s")).prepare_data()


# Learning -------------------------------------------------------------------------------------------------------------


class Pointwise(torch.nn.Module):
    """Logits of each voxel from its intensity; classes that start alike stay alike until something tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(1, 16, 1), torch.nn.Conv2d(16, 4, 1)
        with torch.no_grad():
            self.last.weight.copy_(self.last.weight[:1].expand(4, -1, -1, -1))
            self.last.bias.zero_()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(4 * image - 2)))


def trained(*roots: Path) -> torch.Tensor:
    """Probabilities ``(kind of voxel, class)`` after training on these datasets."""
    torch.manual_seed(0)
    data = MultiRaterData([str(r) for r in roots], slices=True, batch_size=12, epoch_length=1800, seed=0)
    model = Deterministic(Pointwise())
    model.bind(data.info)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for batch in data.train_dataloader():
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    grey = torch.tensor([GREY[n] / 100 for n in NAMES]).reshape(1, 1, 1, 3)
    return model.network(grey).softmax(1)[0, :, 0].T.detach()


def test_groups_teach_their_mass_and_leaves_its_split(leaves: Path, groups: Path, unknowns: Path, tmp_path: Path):
    # the first dataset says what the labels are; its own cases are held out by giving all of them to the test split
    silent = tmp_path / "silent"
    write(silent, info("silent", LEAVES), {"background": 0, "glass": 5, "solid": 10}, "R0")
    text = (silent / "cases.csv").read_text()
    (silent / "cases.csv").write_text(text.replace(",p,", ",test,").replace(",train", ",test"))
    background, glass, solid = trained(silent, groups)
    assert background[[1, 2]].sum() < 0.05 and glass[[1, 2]].sum() > 0.95 and solid[[1, 2]].sum() > 0.95
    torch.testing.assert_close(glass[1], glass[2])  # nobody told them apart
    torch.testing.assert_close(background[0], background[3])
    background, glass, solid = trained(leaves, groups, unknowns)
    assert min(background[0], glass[1], solid[2]) > 0.9


@pytest.mark.journey
def test_a_list_of_datasets_on_the_command_line(leaves: Path, groups: Path, repository: Path, tmp_path: Path):
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"data": {"root": [str(leaves), str(groups)], "slices": True}}))
    configs = (
        repository / "experiments" / "trainer.yaml",
        tmp_path / "data.yaml",
        repository / "experiments" / "lidc_sample" / "deterministic.yaml",
    )
    network = "--model.init_args.network.init_args"
    words = [
        *(w for c in configs for w in ("-c", str(c))),
        *("--data.batch_size=4", "--trainer.max_steps=1", "--trainer.precision=32", f"--out={tmp_path / 'run'}"),
        *(f"{network}.channels=[4,6]", f"{network}.num_classes=4", "--trainer.enable_progress_bar=false"),
    ]
    assert main(["fit", *words]) == 0
    assert load_model(tmp_path / "run").info.name == "a + b"
    assert main(["test", "-c", str(tmp_path / "run" / "config.yaml")]) == 0
