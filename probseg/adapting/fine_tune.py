"""The training goes on for a while with a few labelled cases of the new site."""

from __future__ import annotations

import sys
from typing import Any

import torch
from pytorch_lightning import Trainer, seed_everything

from probseg.adapting.collected_weights import require_own_weights
from probseg.adapting.method import AdaptationMethod, Adapted
from probseg.adapting.site_data import SiteData
from probseg.errors import ProbsegError
from probseg.models import SegmentationModule
from probseg.training.advice import without_advice

__all__ = ["FineTune"]


class FineTune(AdaptationMethod):
    """All weights are trained on with the loss, target, patches and changes of the run, but fewer and smaller steps.

    The optimiser is the run's with its learning rate times ``rate``, by the run's schedule over ``steps``. All raters
    of the chosen cases count as they did in the training. With so few cases none is spared for validation, so the end
    is what is kept, and ``steps`` is what holds it back from learning them by heart. Batch norm's statistics follow the
    new site, as in any training. A curriculum is left out, for the model has had it.

    Args:
        steps: of the optimiser.
        rate: learning rate as a share of the run's.
        gradient_clip: norm above which a gradient is scaled down.
    """

    labelled = True

    def __init__(self, steps: int = 60, rate: float = 0.1, gradient_clip: float = 100.0) -> None:
        if steps < 1 or not 0 < rate < float("inf") or not gradient_clip > 0:
            raise ProbsegError(
                "E_SCHEMA",
                "FineTune needs steps of at least 1 and rate and gradient_clip above 0, but they are "
                f"{steps}, {rate} and {gradient_clip}",
            )
        self.steps = steps
        self.rate = rate
        self.gradient_clip = gradient_clip

    def __call__(self, model: SegmentationModule, site: SiteData, seed: int) -> Adapted:
        """Train on."""
        require_own_weights(model, type(self).__name__)
        data = site.labelled("train", seed)
        for part in model.modules():
            if isinstance(part, SegmentationModule):
                part.warm_start = part.curriculum = None  # what a training does at its start was done
        original = model.optimizer

        def slower(parameters: Any) -> torch.optim.Optimizer:
            optimizer = original(parameters)
            for group in optimizer.param_groups:
                group["lr"] *= self.rate
            return optimizer

        model.optimizer = slower
        try:
            with without_advice():
                seed_everything(seed, verbose=False)
                self._trainer().fit(model.train(), datamodule=data)
        finally:
            model.optimizer = original
        model.cpu().eval()
        return Adapted({"examples": len(data.examples("train"))}, self.steps)

    def _trainer(self) -> Trainer:
        return Trainer(
            max_steps=self.steps,
            devices=1,
            logger=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            gradient_clip_val=self.gradient_clip,
            enable_checkpointing=False,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
        )
