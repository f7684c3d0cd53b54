"""Pictures during a training: some validation cases as the raters and as the model see them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from probseg.batch import Batch
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.io.atomic import write_bytes
from probseg.models import SegmentationModule
from probseg.models.schedules import share_of_training
from probseg.report.plots import STYLE, learning_curves, training_figures
from probseg.report.plots import example as plots
from probseg.report.plots.training import LATENT_ACTIVITY
from probseg.report.results import Example, raters_differ
from probseg.training.metrics_table import MetricsTable

__all__ = ["Panels"]

_MAPS = ("entropy", "epistemic", "ambiguity", "noise")
_CURVES = ("train/loss",), ("validation/nll", "validation/ged_v"), LATENT_ACTIVITY


class Panels(Callback):
    """Shows in every tenth of a training what the model makes of a few validation cases.

    Of each: the image, every rater's outline, the share of raters, the mean probability, entropy, epistemic and
    ambiguity, and some readings. They are the cases on which raters differ most at the first validation, and the same
    throughout. The picture goes to ``RUN/panels/step_0001234.png`` and, where the training has them, to TensorBoard and
    to Weights & Biases, which gets a table of the cases, too. At the end ``RUN/panels/curves.png`` has the learning
    curves and, of a family with latent variables, how much these are used.

        trainer:
          callbacks:
            - class_path: probseg.training.Panels
              init_args: {cases: 3}

    Args:
        cases: how many.
        readings: how many of the draws are shown, spread evenly over them.
        share: of the training between two pictures; 0 for one after each validation.
    """

    def __init__(self, cases: int = 3, readings: int = 3, share: float = 0.1) -> None:
        super().__init__()
        if cases < 1 or readings < 0 or not 0 <= share <= 1:
            raise ProbsegError(
                "E_SCHEMA",
                "Panels needs cases of at least 1, readings of at least 0 and a share from 0 to 1, but they are "
                f"{cases}, {readings} and {share}",
            )
        self.cases = cases
        self.readings = readings
        self.share = share
        self._found: list[tuple[int, Batch]] = []  # how much raters differ in it, and the case as a batch of its own
        self._fixed = False
        self._last = -math.inf  # progress at the last picture

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """In the first validation, keep the cases on which raters differ most."""
        if self._fixed or trainer.sanity_checking or not trainer.is_global_zero or not isinstance(batch, Batch):
            return
        for k in range(len(batch)):
            one = batch.one(k).to(torch.device("cpu"))
            self._found.append((int(_differ(one).sum()), one))
        self._found = sorted(self._found, key=lambda pair: -pair[0])[: self.cases]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, if it is time again."""
        assert isinstance(pl_module, SegmentationModule)
        if trainer.sanity_checking or not trainer.is_global_zero or not self._found:
            return
        self._fixed = True
        progress = share_of_training(trainer)
        if progress < self._last + self.share:
            return
        self._last = progress
        shown = [self._example(pl_module, one) for _, one in self._found]
        picture = _picture(shown, pl_module.num_classes)
        run, step = Path(trainer.default_root_dir), trainer.global_step
        (run / "panels").mkdir(parents=True, exist_ok=True)
        write_bytes(run / "panels" / f"step_{step:07d}.png", picture)
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("panels", pixels, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image("panels", [pixels], step=step)
                logger.log_table("cases", columns=list(_COLUMNS), data=[_row(e) for e in shown], step=step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the learning curves."""
        table = next((logger for logger in trainer.loggers if isinstance(logger, MetricsTable)), None)
        if table is not None and trainer.is_global_zero and table.path.is_file():
            folder = Path(trainer.default_root_dir) / "panels"
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / "curves.png", _curves(training_figures(table.path)))

    def _example(self, model: SegmentationModule, one: Batch) -> Example:
        with torch.no_grad():
            distribution = model(one.image.to(model.device), model.draws)
        return _plane(one, distribution, self.readings)


def _differ(one: Batch) -> NDArray[np.bool_]:
    """``space``: where two raters who looked say otherwise."""
    return raters_differ(one.masks[0].numpy(), one.rated[0].numpy())


def _plane(one: Batch, distribution: SegmentationDistribution, readings: int) -> Example:
    """One case as a plane: of a volume, the slice on which raters differ most."""
    volume = one.image.ndim == 5
    k = int(_differ(one).sum(axis=(1, 2)).argmax()) if volume else 0

    def cut(array: torch.Tensor) -> NDArray[Any]:
        values = array.detach().cpu().numpy()
        return values[..., k, :, :] if volume else values

    maps, number = distribution.maps(), distribution.num_draws
    chosen = [i * number // readings for i in range(readings)] if readings <= number else list(range(number))
    return Example(
        case_id=one.case_ids[0],
        image=cut(one.image[0, 0]),
        masks=cut(one.masks[0]),
        rated=cut(one.rated[0]),
        mean=cut(maps.mean[0]),
        maps={name: cut(getattr(maps, name)[0]) for name in _MAPS},
        readings=cut(distribution.readings()[chosen, 0]),
        slice_index=k if volume else None,
        slices=int(one.image.shape[2]) if volume else None,
    )


_COLUMNS = ("case_id", "raters", "drawn_pixels", "probability_pixels", *(f"{name}_nats" for name in _MAPS[:3]))


def _row(example: Example) -> list[Any]:
    """Of one case: what the raters drew on average, what the model expects, and the sums of its doubts."""
    looked = example.rated.any(axis=(1, 2))
    drawn = example.drawn.sum(axis=(1, 2))[looked]
    sums = [float(example.maps[name].sum(dtype=np.float64)) for name in _MAPS[:3]]
    mean = float(drawn.mean()) if looked.any() else math.nan
    return [example.case_id, int(looked.sum()), mean, float(example.foreground.sum(dtype=np.float64)), *sums]


def _picture(shown: Sequence[Example], classes: int) -> bytes:
    """A row a case, as PNG."""
    readings = max(len(e.readings) for e in shown)
    columns = 7 + readings
    top = plots.top_nats(shown, classes)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.0 * columns, 2.2 * len(shown)), facecolor="white")
        FigureCanvasAgg(figure)
        # a layout that is solved for takes longer than all the rest
        figure.subplots_adjust(0.005, 0.01, 0.995, 1 - 0.2 / len(shown) * 0.5, 0.06, 0.12)
        for row, example in zip(figure.subplots(len(shown), columns, squeeze=False), shown, strict=True):
            plots.image(example, row[0]).set_title(_plain(example.case_id), fontsize=8, y=1.0)
            plots.rater_contours(example, row[1]).set_title("raters", fontsize=8, y=1.0)
            plots.rater_share(example, row[2]).set_title("share of raters", fontsize=8, y=1.0)
            plots.mean_probability(example, row[3]).set_title("probability", fontsize=8, y=1.0)
            for axes, part in zip(row[4:7], _MAPS, strict=False):
                plots.uncertainty(example, axes, part, top).set_title(part, fontsize=8, y=1.0)
            for k, axes in enumerate(row[7:]):
                if k < len(example.readings):
                    plots.reading(example, axes, k).set_title(f"reading {k + 1}", fontsize=8, y=1.0)
                else:
                    axes.set_axis_off()
        return _png(figure)


def _curves(figures: dict[str, NDArray[np.float64]]) -> bytes:
    groups = [names for names in _CURVES if any(name in figures for name in names)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.5 * max(1, len(groups)), 3.2), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        for axes, names in zip(figure.subplots(1, max(1, len(groups)), squeeze=False)[0], groups, strict=False):
            learning_curves(figures, axes, names)
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()


def _plain(text: str) -> str:
    """A name that Matplotlib takes for no formula."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")
