"""Probabilities made honest at the new site; no weight changes."""

from __future__ import annotations

from pathlib import Path

from probseg.adapting.method import AdaptationMethod, Adapted
from probseg.adapting.site_data import SiteData
from probseg.calibrators import build_calibrator, write_calibrator
from probseg.distribution import Draws
from probseg.models import SegmentationModule
from probseg.training.calibrating import fit_calibrator

__all__ = ["Recalibration"]


class Recalibration(AdaptationMethod):
    """A calibrator of `probseg.calibrators` fitted on a few labelled cases of the new site instead of the source's.

    It mends how sure the model is and not what it finds. Its cases come from the split ``calibration``, which training
    and fine-tuning leave alone; a model that was fine-tuned on the same cases is surer of these than of others.

    Args:
        calibrator: class name or path.
    """

    labelled = True
    splits = ("calibration",)

    def __init__(self, calibrator: str = "Temperature") -> None:
        self.calibrator = calibrator

    def __call__(self, model: SegmentationModule, site: SiteData, seed: int) -> Adapted:
        """Fit the calibrator, which is written beside the new checkpoint."""
        calibrator, config = build_calibrator(self.calibrator)
        data = site.labelled("calibration", seed)
        fit = fit_calibrator(calibrator, model, data, "calibration", Draws(model.draws.count, seed))
        figures = {"cases": fit.cases, "trials": fit.trials, "nll_before": fit.before, "nll_after": fit.after}
        record = {"dataset": site.dataset.info.name, "site": site.records[0].site, "patients": fit.patients, **figures}

        def store(checkpoint: Path) -> None:
            write_calibrator(checkpoint, calibrator, config, fit.sizes, data.info.labels.names, record)

        return Adapted({"calibrator": self.calibrator, **figures}, 0, store)
