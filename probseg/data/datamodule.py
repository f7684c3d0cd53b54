"""What Lightning trains, validates, tests and predicts on: a dataset, split by patient."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from probseg.batch import collate
from probseg.data.examples import Examples
from probseg.data.fixed_patches import FixedPatches
from probseg.data.loader import TrainingLoader, leave_signals_to_the_trainer
from probseg.data.order import Order, Shuffled, Weighted
from probseg.data.transforms import Transform
from probseg.data.virtual_raters import VirtualRater, check_names
from probseg.data.weights import Weights
from probseg.errors import ProbsegError
from probseg.joining import open_datasets
from probseg.progress import followed
from probseg.records import Dataset, DatasetInfo
from probseg.store import Store, has_store, store_of

__all__ = ["MultiRaterData"]


class MultiRaterData(LightningDataModule):
    """Images of a dataset with the masks of all raters, in batches.

    The splits of the dataset are used as they are: ``train`` for fitting, ``validation`` while fitting, ``test`` for
    test and prediction. ``calibration`` is left for what is fitted after training.

    Slices and patches of a dataset folder are read one by one from its prepared store, which is made first where it is
    not there or no longer fits the dataset (``probseg prepare``). An NPZ stack is kept in memory.

    Args:
        root: a dataset folder, an NPZ stack, or ``lidc-sample``, the sample that comes with the package; or several of
            them, which train one model together (see `probseg.joining.join`).
        batch_size: examples a batch; test and validation use twice as many.
        slices: train a 2-D network on the slices of volumes.
        crop: size of training patches along each axis; None for whole images.
        foreground: share of patches placed on what some rater drew.
        foreground_by_class: place those on each class or group that some rater drew in the image equally often, however
            few voxels it has, and not on each voxel equally often.
        transforms: random changes of training examples, in order.
        epoch_length: examples an epoch; None for each example once.
        sites: use only the cases of these sites; None for all.
        weights: how often each training example is drawn; None for equally often.
        store: folder of the prepared store; None for the dataset's own.
        num_workers: loader processes; 0 loads in the training process, which small images do best. As many make the
            store. The number changes no batch.
        worker_timeout_s: seconds that a loader process may take for a batch before the training ends with an error.
        seed: of the order of training examples and of their changes; None for that of the run.
        validation_crop: validate on patches of this size, the same every time, where a volume is too large to be seen
            whole by a 3-D network; figures of volumes are then those of patches. None for whole images. Test is of
            whole images, so that such a model is measured by ``probseg predict`` and ``evaluate``.
        validation_patches: how many of an image, placed as those of training are.
        virtual_raters: what is fused of all masks of a case, such as `probseg.data.virtual_raters.Staple`, for targets
            that ask for it by name; training only.
    """

    def __init__(
        self,
        root: str | list[str],
        batch_size: int = 16,
        slices: bool = False,
        crop: list[int] | None = None,
        foreground: float = 0.5,
        transforms: list[Transform] | None = None,
        epoch_length: int | None = None,
        sites: list[str] | None = None,
        weights: Weights | None = None,
        store: str | None = None,
        num_workers: int = 0,
        worker_timeout_s: float = 600.0,
        seed: int | None = None,
        virtual_raters: list[VirtualRater] | None = None,
        foreground_by_class: bool = False,
        validation_crop: list[int] | None = None,
        validation_patches: int = 8,
    ) -> None:
        super().__init__()
        if batch_size < 1 or not 0 <= foreground <= 1 or (epoch_length is not None and epoch_length < 1):
            raise ProbsegError(
                "E_SCHEMA",
                "batch_size and epoch_length must be at least 1 and foreground within 0 to 1, but are "
                f"{batch_size}, {epoch_length} and {foreground}",
            )
        if num_workers < 0 or any(n < 1 for n in (*(crop or ()), *(validation_crop or ()), validation_patches)):
            raise ProbsegError(
                "E_SCHEMA",
                "num_workers must be at least 0 and crop, validation_crop and validation_patches positive, but are "
                f"{num_workers}, {crop}, {validation_crop} and {validation_patches}",
            )
        self.dataset = open_datasets(root).require_images().with_known_raters("train", sites)
        self.virtual_raters = tuple(virtual_raters or ())
        check_names(self.virtual_raters, self.dataset.raters)
        self.batch_size = batch_size
        self.slices = slices
        self.crop = crop
        self.foreground = foreground
        self.foreground_by_class = foreground_by_class
        self.transforms = transforms or []
        self.validation_crop = validation_crop
        self.validation_patches = validation_patches
        self.epoch_length = epoch_length
        self.sites = sites
        self.weights = weights
        if store is not None and isinstance(root, str) and not has_store(self.dataset):
            raise ProbsegError("E_SCHEMA", f"dataset '{root}' is kept in memory; leave data.store out")
        self.store_path = None if store is None else Path(store)
        self.num_workers = num_workers
        self.worker_timeout_s = worker_timeout_s
        self.seed = torch.initial_seed() if seed is None else seed
        self._training: TrainingLoader | None = None
        self._drawn_before = 0
        self._made: dict[str, Examples] = {}

    @property
    def info(self) -> DatasetInfo:
        """What the model needs to know of the data."""
        return self.dataset.info

    def prepare_data(self) -> None:
        """Make the store in one process, before the others open it."""
        if self.store is not None and self.virtual_raters and self.trainer is not None and self.trainer.training:
            _ = self.examples("train")

    @cached_property
    def store(self) -> Store | None:
        """The prepared store, made where it is not there; None for a dataset that is kept in memory."""
        return store_of(self.dataset, self.store_path, max(1, self.num_workers), followed)

    def part(self, split: str) -> Dataset:
        """The cases of one split at the chosen sites."""
        return self.dataset.select(splits=[split], sites=self.sites)

    def examples(self, split: str) -> Examples:
        """The examples of one split; only those of ``train`` are cropped and changed."""
        if split not in self._made:
            patients = {name: k for k, name in enumerate(self.dataset.patients)}
            training = split == "train"
            self._made[split] = Examples(
                self.part(split),
                patients,
                self.slices,
                self.crop if training else None,
                self.foreground,
                self.transforms if training else (),
                self.store,
                self.virtual_raters if training else (),
                self.foreground_by_class,
            )
        return self._made[split]

    def train_dataloader(self) -> TrainingLoader:
        """Shuffled batches that go on where they were; an epoch shorter than a batch is one batch."""
        if self._training is not None and self.trainer is not None and self.trainer.current_epoch:
            return self._training  # asked again within a training, by reload_dataloaders_every_n_epochs
        examples = self.examples("train")
        if not examples.one_shape:
            raise ProbsegError("E_SHAPE_MISMATCH", "training images differ in shape; set data.crop to a patch size")
        device, devices = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        if self.trainer is not None and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            raise ProbsegError(
                "E_SCHEMA", "trainer.overfit_batches is not for data that go on; set data.sites or data.epoch_length"
            )
        length = self.epoch_length or len(examples)
        batch_size = min(self.batch_size, max(1, length // devices))
        self._training = TrainingLoader(
            examples,
            self._order(examples),
            batch_size,
            max(1, length // (batch_size * devices)),
            device,
            devices,
            self.num_workers,
            self.worker_timeout_s,
        )
        self._training.load_state_dict({"drawn": self._drawn_before})
        return self._training

    def _order(self, examples: Examples) -> Order:
        if self.weights is None:
            return Shuffled(len(examples), self.seed)
        return Weighted(torch.from_numpy(self.weights(examples.entries)), self.seed)

    def state_dict(self) -> dict[str, int]:
        """How far the training has come in the order of its examples, for the checkpoint."""
        return {"drawn": self._drawn_before} if self._training is None else self._training.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there."""
        self._drawn_before = state_dict["drawn"]
        if self._training is not None:
            self._training.load_state_dict(state_dict)

    def _in_order(self, examples: Examples | FixedPatches) -> DataLoader[Any]:
        return DataLoader(
            examples,
            batch_size=2 * self.batch_size if examples.one_shape else 1,
            collate_fn=collate,
            num_workers=self.num_workers,
            timeout=self.worker_timeout_s if self.num_workers else 0,
            worker_init_fn=leave_signals_to_the_trainer,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole images of ``validation``, or the same patches of them every time."""
        examples = self.examples("validation")
        if self.validation_crop is None:
            return self._in_order(examples)
        patches = FixedPatches(examples, self.validation_crop, self.validation_patches, self.foreground)
        return self._in_order(patches)

    def test_dataloader(self) -> DataLoader[Any]:
        """Whole images of ``test``."""
        return self._in_order(self.examples("test"))
