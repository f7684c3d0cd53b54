"""What every family has in common: training, validation, test and prediction, written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from probseg.batch import Batch
from probseg.calibrators import Calibrator
from probseg.data.keyed import key, start_from
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.likelihood import label_log_likelihood
from probseg.metrics import Evaluation, FullCalibration
from probseg.models.checkpoints import PUBLISHED, best_checkpoint, describe, read_weights, warm_start
from probseg.models.curriculum import Curriculum
from probseg.models.fusing import fuse_on_processor
from probseg.models.schedules import Cosine, Schedule, share_of_training
from probseg.models.step_loss import over_devices, require_finite_loss
from probseg.models.targets import AverageRaters, TargetStrategy
from probseg.networks.protocol import FeatureNetwork
from probseg.records import DatasetInfo

__all__ = ["SegmentationModule"]

_STEP = 2  # what the keys of steps are for, apart from those of the loader


class SegmentationModule(LightningModule, ABC):
    """A network that learns a distribution over segmentations. A family writes `forward` and `loss`.

    What the data are (label set, window) is not an argument: the data module tells it in `setup`, and it travels in
    the checkpoint, so that prediction needs no data set.

    Args:
        network: image ``(batch, channels, *space)`` to logits ``(batch, classes, *space)``.
        target: what the loss sees of several raters.
        optimizer: makes the optimiser from parameters; None for AdamW with its defaults. Were AdamW itself the default,
            a configuration that names another optimiser and no weight decay would silently take over that of AdamW.
        warmup: share of the training over which the learning rate rises; then ``schedule`` has it. The training is as
            long as ``max_steps``, ``max_epochs``, ``max_time`` or a ``CpuBudget`` say, whichever ends it.
        draws: how many draws validation and test take.
        warm_start: a run folder or checkpoint whose weights of equal name and shape are taken at the start of ``fit``.
        schedule: how the learning rate falls after warm-up; None for a cosine to 0.
        curriculum: what part of its images a training sees early on; None for all of them from the start.
    """

    trains_coarser_levels: ClassVar[bool] = False  # whether the loss asks a network for all levels of its decoder

    def __init__(
        self,
        network: nn.Module,
        target: TargetStrategy | None = None,
        optimizer: OptimizerCallable | None = None,
        warmup: float = 0.1,
        draws: int = 16,
        warm_start: str | None = None,
        schedule: Schedule | None = None,
        curriculum: Curriculum | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= warmup < 1:
            raise ProbsegError("E_SCHEMA", f"warmup must be a share from 0 to below 1, but is {warmup}")
        if getattr(network, "deep_supervision", False) and not self.trains_coarser_levels:
            raise ProbsegError(
                "E_SCHEMA",
                f"{type(self).__name__} trains the finest level of its network only; set deep_supervision of the "
                "network to false",
            )
        self.network = network
        self.target = AverageRaters() if target is None else target
        self.optimizer: OptimizerCallable = torch.optim.AdamW if optimizer is None else optimizer
        self.warmup = warmup
        self.draws = Draws(draws)
        self.warm_start = warm_start
        self.schedule = Cosine() if schedule is None else schedule
        self.curriculum = curriculum
        self.info: DatasetInfo | None = None
        self.config: dict[str, Any] | None = None
        self.evaluation: Evaluation | None = None
        self.calibrator: Calibrator | None = None
        self.calibration: dict[str, Any] | None = None  # which one that is, in plain types
        self.calibrations: dict[str, FullCalibration] = {}
        self.register_forward_hook(_calibrated, with_kwargs=True)
        self._seed = 0
        self.register_buffer("admissible", torch.zeros(0, 0, dtype=torch.bool), persistent=False)

    # -- a family writes these two ------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """The predicted distribution; draw k is one function whatever the batch, slice or window.

        Args:
            image: ``(batch, channels, *space)`` normalised to 0..1.
            draws: which draws to take.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss, all logged; the entry ``loss`` is minimised."""

    # -- what a family may use ----------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """C of the label set."""
        return self._bound.labels.num_classes

    @property
    def _bound(self) -> DatasetInfo:
        if self.info is None:
            raise ProbsegError(
                "E_UNBOUND", "the model knows no label set yet; fit it, load a checkpoint, or call bind(dataset.info)"
            )
        return self.info

    def log_probs(self, logits: Tensor, dim: int) -> Tensor:
        """Normalised log-probabilities in float32, of logits with the classes along ``dim``.

        Raises:
            ProbsegError: E_CLASS_MISMATCH when the network gives other classes than the label set has.
        """
        if logits.shape[dim] != self.num_classes:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"the network gives {logits.shape[dim]} classes but the label set has {self.num_classes}; "
                "set num_classes of the network",
            )
        return torch.log_softmax(logits.float(), dim=dim)

    def log_likelihood(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Log-likelihood of masks under logits, ``(batch, masks, *space)`` nats, groups and unknown included.

        Args:
            logits: ``(batch, masks or 1, classes, *space)``.
            labels: ``(batch, masks, *space)`` dense labels.
        """
        log_probs = self.log_probs(logits, dim=2)
        log_probs = log_probs.expand(-1, labels.shape[1], *log_probs.shape[2:])
        return label_log_likelihood(log_probs, labels, self.admissible, dim=2)

    def bind(self, info: DatasetInfo) -> None:
        """Tell the model what its data are.

        Raises:
            ProbsegError: E_CLASS_MISMATCH when it was trained with other classes, or its network gives another number.
        """
        if self.info is not None and self.info.labels.names != info.labels.names:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"the model was trained on classes {', '.join(self.info.labels.names)}, but the data have "
                f"{', '.join(info.labels.names)}",
            )
        if isinstance(self.network, FeatureNetwork) and self.network.num_classes != info.labels.num_classes:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"the network gives {self.network.num_classes} classes but the label set has "
                f"{info.labels.num_classes}; set num_classes of the network",
            )
        self.info = info if self.info is None else self.info
        self.admissible = torch.from_numpy(info.labels.admissible).to(self.device)

    def calibrate(self, calibrator: Calibrator | None, calibration: dict[str, Any] | None = None) -> None:
        """Let whoever asks this model from now on have the calibrated distribution; None for the model's own.

        Args:
            calibrator: fitted.
            calibration: which one that is, in plain types, for what is written.
        """
        self.calibrator = None if calibrator is None else calibrator.to(self.device)
        self.calibration = calibration

    def uncalibrated(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """The model's own distribution, whether there is a calibrator or not."""
        return self.forward(image, draws)

    def start_from(self, checkpoint: Path) -> None:
        """Take the weights that fit from another run, or from a checkpoint of another program with such a network."""
        warm_start(self, read_weights(checkpoint, PUBLISHED))

    # -- Lightning ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take the label set from the data module and, before fitting, the weights to start from."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None and hasattr(datamodule, "info"):
            self.bind(datamodule.info)
        if stage == "fit" and self.warm_start is not None:
            path = Path(self.warm_start)
            self.start_from(best_checkpoint(path) if path.is_dir() else path)

    def on_fit_start(self) -> None:
        """Remember the seed of the run, of which every step makes its own."""
        self._seed = torch.initial_seed()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; every term of the loss is logged as ``train/...``.

        What it draws at random (dropped channels, raters, latents) depends on the seed and the number of the step
        alone, so that a training that was interrupted goes on as if it had not been.
        """
        trainer = self.trainer
        start_from(key(self._seed, _STEP, trainer.fit_loop.total_batch_idx, trainer.global_rank))
        if self.curriculum is not None:
            batch = self.curriculum(batch, self._progress())
        terms = self.loss(batch)
        require_finite_loss(terms["loss"].detach(), batch, trainer)
        logged = {f"train/{name}": float(value.detach()) for name, value in terms.items()}
        self.log_dict(over_devices(logged) if trainer.world_size > 1 else logged, batch_size=len(batch))
        return terms["loss"]

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        labels = None if self.info is None else self.info.labels
        self.evaluation = Evaluation(self.num_classes, self.admissible, self.draws.count, labels).to(self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Compare the distribution with all raters."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log every figure as ``validation/...``."""
        self._log_figures("validation")

    def on_test_epoch_start(self) -> None:
        """As validation, and calibration in full: before and, where there is a calibrator, after it."""
        self.on_validation_epoch_start()
        info = getattr(getattr(self.trainer, "datamodule", None), "info", self._bound)
        names = ("before",) if self.calibrator is None else ("before", "after")
        classes = self._bound.labels.names
        self.calibrations = {name: FullCalibration(classes, self.admissible, info.raters) for name in names}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As validation; a calibrated model is measured before calibration, too."""
        before = self.uncalibrated(batch.image, self.draws)
        after = before if self.calibrator is None else self.calibrator(before, batch.image)
        assert self.evaluation is not None
        self.evaluation.update(after, batch)
        for name, calibration in self.calibrations.items():
            calibration.to(self.device).update(before if name == "before" else after, batch)

    def on_test_epoch_end(self) -> None:
        """Log every figure as ``test/...``."""
        self._log_figures("test")

    def _evaluate(self, batch: Batch) -> SegmentationDistribution:
        distribution = self(batch.image, self.draws)
        assert self.evaluation is not None
        self.evaluation.update(distribution, batch)
        return distribution

    def _log_figures(self, stage: str) -> None:
        assert self.evaluation is not None
        # sync_dist is off because the figures are computed from the statistics of all processes already
        self.log_dict({f"{stage}/{k}": v for k, v in self.evaluation.compute().items()}, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """The optimiser, with warm-up and schedule by the step."""
        try:
            optimizer = self.optimizer(self.parameters())
        except ValueError as error:  # torch names the rule and the value, such as a negative learning rate
            raise ProbsegError("E_SCHEMA", f"the optimizer of the model refuses its settings: {error}") from error
        fuse_on_processor(optimizer)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: self._rate(self._progress()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _progress(self) -> float:
        """Share of the training that is over, 0 to 1."""
        return 0.0 if self._trainer is None else share_of_training(self._trainer)

    def _rate(self, progress: float) -> float:
        """Factor of the learning rate when ``progress`` of the training is over."""
        if progress < self.warmup:
            return max(progress / self.warmup, 1e-2)
        return self.schedule((progress - self.warmup) / (1 - self.warmup))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what it takes to build this model again, in plain types."""
        checkpoint["probseg"] = describe(self.info, self.config)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the label set from the checkpoint."""
        stored = cast(dict[str, Any], checkpoint.get("probseg") or {})
        if self.info is None and stored.get("info"):
            self.bind(DatasetInfo.from_dict(stored["info"], "the checkpoint"))


def _calibrated(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: SegmentationDistribution
) -> SegmentationDistribution:
    """What a calibrated model gives to whoever asks it."""
    if module.calibrator is None:
        return output
    return module.calibrator(output, args[0] if args else kwargs["image"])
