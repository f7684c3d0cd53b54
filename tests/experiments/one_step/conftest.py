"""A small training of every configuration of ``experiments``, on data made for it, once a session."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from probseg.case import Geometry
from probseg.cli import main
from probseg.importing import SourceCase, SourceReading, write_dataset
from probseg.io.strict_yaml import read_yaml
from probseg.labels import LabelClass, LabelSet
from probseg.records import DatasetInfo

# Configurations that only change settings of another.
OVER = {
    "lidc/longer": "lidc/stochastic_segmentation",
    "opacity/small/ensemble": "opacity/ensemble",
    "opacity/small/pspnet": "opacity/phase1_pspnet",
    "opacity/small/unet": "opacity/phase1_unet",
}


@pytest.fixture(scope="session")
def trained(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run folder of a configuration by its path below ``experiments`` without suffix, trained for one step.

    Runs that it starts from are trained before it. Further words of the command make a run of its own.
    """
    root, folder = repository / "experiments", tmp_path_factory.mktemp("one-step")
    datasets = Datasets(folder / "data")
    runs: dict[tuple[str, ...], Path] = {}

    def train(name: str, *words: str) -> Path:
        if (name, *words) not in runs:
            files = configurations(root, name)
            config: dict[str, Any] = {}
            for file in files:
                config = merged(config, read_yaml(file))
            out = folder / f"{len(runs)}-{Path(name).name}"
            place = name.partition("/")[0]
            started = [f"--{key}={train(f'{place}/{Path(run).name}')}" for key, run in starts(config["model"], "model")]
            data = datasets.of(place, config)
            given = [w for file in files for w in ("-c", str(file))]
            words_of = [*given, f"--data.root={data}", *small(config), *started, *words, f"--out={out}"]
            assert main(["fit", *words_of]) == 0
            runs[(name, *words)] = out
        return runs[(name, *words)]

    return train


def configurations(root: Path, name: str) -> list[Path]:
    """The files of a training, the last one the configuration itself."""
    own = root / f"{name}.yaml"
    if "data" in read_yaml(own) and "trainer" in read_yaml(own):
        return [own]
    if name in OVER:
        return [*configurations(root, OVER[name]), own]
    if "class_path" not in read_yaml(own)["model"]:
        pytest.fail(f"{name}.yaml names no model: say in OVER of which configuration it changes settings")
    folders = [p for p in own.parents if p.is_relative_to(root)]
    nearest = [next((f / n for f in folders if (f / n).is_file()), None) for n in ("trainer.yaml", "data.yaml")]
    return [*(p for p in nearest if p is not None), own]


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Keys of the other over those of the one, at every depth."""
    out = dict(one)
    for key, value in other.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def starts(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Where a configuration names a run to start from, and which."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "warm_start" and value:
            yield f"{place}.{key}", value
        yield from starts(value, f"{place}.{key}")


def network_of(config: dict[str, Any]) -> dict[str, Any]:
    """What the innermost network is made with; its widths also where they are the class's own."""
    node = config["model"]["init_args"]
    network = node.get("member", {}).get("init_args", node)["network"]
    module, _, name = network["class_path"].rpartition(".")
    own = inspect.signature(getattr(importlib.import_module(module), name)).parameters["channels"].default
    return {"channels": own, **network["init_args"]}


def small(config: dict[str, Any]) -> list[str]:
    """Words that make a training one step of two patches, and its network as deep as it is but narrow."""
    settings, data = network_of(config), config.get("data", {})
    crop, wrapped = (
        "[8,16,16]" if settings.get("dimensions") == 3 else "[64,64]",
        "member" in config["model"]["init_args"],
    )
    network = f"--model.init_args.{'member.init_args.' if wrapped else ''}network.init_args"
    return [
        *("--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"),
        *("--trainer.check_val_every_n_epoch=1", "--trainer.precision=32", "--trainer.accelerator=cpu"),
        *("--trainer.callbacks=[]", "--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0"),
        *("--data.batch_size=2", "--data.epoch_length=2", "--data.num_workers=0", "--model.init_args.draws=2"),
        *(f"--data.{name}={crop}" for name in ("crop", "validation_crop") if data.get(name)),
        f"{network}.channels={[8] * len(settings['channels'])}".replace(" ", ""),
        *(["--model.init_args.size=2"] if "size" in config["model"]["init_args"] else []),
        *(["--trainer.max_steps=1"] if config.get("trainer", {}).get("max_steps") != 0 else []),
    ]


class Datasets:
    """Small datasets, each made once; every one has two patients to train with and one to validate with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[tuple[Any, ...], Path] = {}

    def of(self, experiment: str, config: dict[str, Any]) -> Path:
        """One that fits a configuration: of a challenge in the layout of its release, else made for it."""
        network = network_of(config)
        dimensions = 3 if config["data"].get("slices") else int(network.get("dimensions", 2))
        site = (config["data"].get("sites") or ["north"])[0]
        window = tuple(network.get("window_hu", (0, 255)))
        key = (experiment,) if experiment in RELEASES else (dimensions, network["num_classes"], site, window)
        if key not in self._made:
            out = self.folder / str(len(self._made))
            if experiment in RELEASES:
                RELEASES[experiment](self.folder / experiment, out)
            else:
                made(out, *key)
            self._made[key] = out
        return self._made[key]


def made(out: Path, dimensions: int, classes: int, site: str, window: tuple[float, float]) -> None:
    """Noise on which three named raters agree but for a margin."""
    rng = np.random.default_rng(0)
    shape = (80, 80) if dimensions == 2 else (3, 80, 80)
    labels = LabelSet(tuple(LabelClass(k, f"class-{k}" if k else "background") for k in range(classes)))
    geometry = Geometry(shape, (2.0, 0.7, 0.7) if dimensions == 3 else None)
    cases = []
    for k, split in enumerate(("train", "train", "validation")):
        drawn = np.zeros(shape, np.uint8)
        for label in range(1, classes):
            drawn[..., 24 + 4 * (label - 1) : 28 + 4 * (label - 1), 30:50] = label
        masks = [np.roll(drawn, shift, axis=-1) for shift in (0, 1, 3)]
        image = rng.integers(int(window[0]), int(window[1]), shape).astype(np.int16)
        readings = tuple(SourceReading(f"rater-{r}", mask) for r, mask in enumerate(masks, start=1))
        cases.append(SourceCase(f"case-{k}", f"patient-{k}", site, image, (), geometry, readings, split=split))
    write_dataset(out, DatasetInfo("small", dimensions, labels, window), cases)


def save(path: Path, array: np.ndarray) -> None:
    """As programs write NIfTI: axes of the array are columns, rows, slices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 2.0, 1.0])), path)


def blob(shape: tuple[int, ...], shift: int, value: int = 1) -> np.ndarray:
    """A mask with a block in its middle, moved along its first axis."""
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 3 + shift * (axis == 0), 2 * n // 3) for axis, n in enumerate(shape))] = value
    return mask


def release_of_curvas(source: Path, out: Path) -> None:
    """Four patients in the three parts of the release."""
    shape, rng = (24, 20, 9), np.random.default_rng(0)
    for part, name in zip(("training", "training", "validation", "testing"), "0123", strict=True):
        folder = source / f"{part}_set" / f"UKCHLL00{name}"
        save(folder / "image.nii.gz", rng.integers(-300, 300, shape).astype(np.int16))
        for number in (1, 2, 3):
            mask = blob(shape, number - 1, 3)
            mask[:3, :, number:6], mask[-3:, number:9] = 1, 2
            save(folder / f"annotation_{number}.nii.gz", mask)
    assert main(["import", "curvas", str(source), "--out", str(out)]) == 0


def release_of_qubiq(source: Path, out: Path, channels: int = 1) -> None:
    """Four patients of the training and one of the validation, of four raters."""
    shape, rng = (40, 36), np.random.default_rng(0)
    for k, part in enumerate(("Training",) * 4 + ("Validation",)):
        folder = source / part / f"case{k:02d}"
        save(folder / "image.nii.gz", rng.random((*shape, channels) if channels > 1 else shape).astype(np.float32))
        for rater in range(1, 5):
            save(folder / f"task01_seg{rater:02d}.nii.gz", blob(shape, rater))
    assert main(["import", "qubiq", str(source), "--out", str(out)]) == 0


def release_of_longciu(source: Path, out: Path) -> None:
    """Six slices of three raters, with splits."""
    shape, rng = (80, 72, 6), np.random.default_rng(0)
    image = rng.integers(-1000, 300, shape).astype(np.int16)
    image[0] = -1000
    save(source / "longciu_img.nii.gz", image)
    for number in (1, 2, 3):
        mask = blob(shape, number)
        mask[40:48, 30:40] = 2
        save(source / f"longciu_{number}_tgt.nii.gz", mask)
    (source / "longciu_splits.json").write_text('{"train": [0, 1, 2], "val": [3], "test": [4, 5]}', encoding="utf-8")
    assert main(["import", "longciu", str(source), "--window", "-1024", "600", "--out", str(out)]) == 0


RELEASES = {"curvas": release_of_curvas, "longciu": release_of_longciu, "qubiq": release_of_qubiq}


@pytest.fixture(scope="session")
def four_channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of QUBIQ's brain tumours, whose images hold four sequences."""
    folder = tmp_path_factory.mktemp("tumours")
    release_of_qubiq(folder / "brain-tumor", folder / "dataset", channels=4)
    return folder / "dataset"
