"""Weights averaged over the last steps, which often predict better than those of the last step alone."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import get_ema_multi_avg_fn

from probseg.errors import ProbsegError

__all__ = ["MovingAverage"]


class MovingAverage(Callback):
    """An exponential moving average of the weights (Polyak and Juditsky 1992, doi:10.1137/0330046).

    After step t the average is ``d average + (1 - d) weights`` with ``d = min(decay, (1 + t) / (10 + t))``, so that the
    first weights are soon forgotten. Running statistics of batch norms are averaged alike. Validation sees the average,
    and it is what every checkpoint holds as the weights of the model: ``best.ckpt`` is chosen and predicts by it. The
    weights that are trained lie beside it in the checkpoint, and a training goes on from them.

    Args:
        decay: of the average a step; 0.999 looks back over about a thousand steps.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ProbsegError("E_SCHEMA", f"decay of MovingAverage must lie from 0 to below 1, but is {decay}")
        self.decay = decay
        self._average: dict[str, Tensor] | None = None
        self._trained: dict[str, Tensor] | None = None  # those of a checkpoint, or those that validation displaced
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or take up both kinds from the checkpoint."""
        if self._trained is not None:
            self._average = _copied(pl_module)
            pl_module.load_state_dict(self._trained)
            self._trained = None
        elif self._average is None:
            self._average = _copied(pl_module)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Count the weights of a step in; batches whose gradients are only gathered change nothing."""
        if trainer.global_step == self._steps:
            return
        assert self._average is not None
        self._steps = trainer.global_step
        now, averaged = pl_module.state_dict(), _averaged(pl_module)
        update = get_ema_multi_avg_fn(min(self.decay, (1 + self._steps) / (10 + self._steps)))
        update([self._average[name] for name in averaged], [now[name] for name in averaged], self._steps)
        for name in now.keys() - set(averaged):
            self._average[name].copy_(now[name])

    # -- validation sees the average ----------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The average takes the place of the weights."""
        if self._average is not None:
            self._trained = _copied(pl_module)
            pl_module.load_state_dict(self._average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The weights come back."""
        if self._trained is not None and self._average is not None:
            pl_module.load_state_dict(self._trained)
            self._trained = None

    # -- checkpoints hold both ----------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The average as the weights of the model, the trained ones beside it."""
        if self._average is not None:
            checkpoint["callbacks"][self.state_key] = {"steps": self._steps, "trained": checkpoint["state_dict"]}
            checkpoint["state_dict"] = self._average

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember the weights that are trained; the model has got the average."""
        state = checkpoint.get("callbacks", {}).get(self.state_key)
        if state is not None:
            self._steps, self._trained = int(state["steps"]), state["trained"]


def _averaged(model: LightningModule) -> list[str]:
    """Names of what is trained and of the running statistics; other buffers are taken as they are."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for path, module in model.named_modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            names += [f"{path}.{statistic}".lstrip(".") for statistic in ("running_mean", "running_var")]
    return names


def _copied(model: LightningModule) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
