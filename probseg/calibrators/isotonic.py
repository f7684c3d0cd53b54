"""Any rising curve from stated to calibrated probability, for two classes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from torch import Tensor

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

__all__ = ["Isotonic"]

_KNOTS = 128
_HALVINGS = 40  # of an interval of log-odds; to far below what float32 tells


class Isotonic(Calibrator):
    """Isotonic regression of the share of raters on the mean foreground probability (Zadrozny and Elkan 2002).

    doi:10.1145/775047.775151. The curve g through the middles of the blocks that pool-adjacent-violators finds has the
    least Brier score and NLL of all rising ones. It is a curve of the *mean* p; to keep draws and mean one
    distribution, the log-odds of all draws at a voxel are moved by one number d such that their mean becomes g(p):

        mean over draws k of sigmoid(z_k + d) = g(p)

    The order of draws at a voxel stays, and with it who finds more; where g moves p across 1/2, or a draw's log-odds
    across 0, the label changes, so readings and volumes move with the mean. g stays off 0 and 1 by what one trial more
    of either kind would make. For two classes only.
    """

    stated: Tensor
    calibrated: Tensor

    def prepare(self, sizes: Sizes) -> None:
        """g(p) = p.

        Raises:
            ProbsegError: E_SCHEMA for more than two classes.
        """
        if sizes.classes != 2:
            raise ProbsegError(
                "E_SCHEMA", f"Isotonic is for two classes, but the model has {sizes.classes}; take VectorScaling"
            )
        self.register_buffer("stated", torch.linspace(0, 1, _KNOTS, dtype=torch.float64))
        self.register_buffer("calibrated", torch.linspace(0, 1, _KNOTS, dtype=torch.float64))

    def fit(self, sample: CalibrationSample) -> None:
        """Pool adjacent violators; groups that admit foreground alone are foreground."""
        of = sample.admissible.cpu().numpy()
        votes = sample.votes.cpu().numpy().astype(np.float64)
        drawn = votes[:, of[:, 1] & ~of[:, 0]].sum(axis=1).ravel()
        not_drawn = votes[:, of[:, 0] & ~of[:, 1]].sum(axis=1).ravel()
        p = sample.distribution.mean[:, 1].cpu().numpy().astype(np.float64).ravel()
        x, y = _blocks(p, drawn, drawn + not_drawn)
        least = 1 / (sample.trials + 2)
        self.stated.copy_(torch.from_numpy(x))
        self.calibrated.copy_(torch.from_numpy(np.clip(y, least, 1 - least)))

    def curve(self, p: Tensor) -> Tensor:
        """g(p), of any shape."""
        x, y = self.stated, self.calibrated
        q = p.double().contiguous()
        right = torch.searchsorted(x, q).clamp(1, len(x) - 1)
        width = x[right] - x[right - 1]
        share = torch.where(width > 0, (q - x[right - 1]) / width.clamp(min=1e-300), 1.0).clamp(0, 1)
        return y[right - 1] + share * (y[right] - y[right - 1])

    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """All draws moved by one number a voxel."""
        logits = distribution.logits
        odds = (logits[:, :, :, 1] - logits[:, :, :, 0]).double()  # (models, readings, batch, *space)
        wanted = self.curve(torch.sigmoid(odds).mean(dim=(0, 1))).clamp(1e-12, 1 - 1e-12)
        target = torch.logit(wanted)
        low, high = target - odds.amax(dim=(0, 1)), target - odds.amin(dim=(0, 1))
        for _ in range(_HALVINGS if distribution.num_draws > 1 else 0):
            middle = (low + high) / 2
            short = torch.sigmoid(odds + middle).mean(dim=(0, 1)) < wanted
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        moved = (odds + (low + high) / 2).float() / 2
        return SegmentationDistribution(torch.stack([-moved, moved], dim=3))


def _blocks(p: NDArray, drawn: NDArray, trials: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(knots,)`` middles of the blocks and the share of raters in each, both rising; the last repeats to the end."""
    asked = trials > 0
    values, which = np.unique(p[asked], return_inverse=True)
    hits, weight = np.bincount(which, drawn[asked]), np.bincount(which, trials[asked])
    found = isotonic_regression(hits / weight, weights=weight)
    starts = found.blocks[:-1]
    mass, mean = np.add.reduceat(weight, starts), np.add.reduceat(weight * values, starts)
    level = np.add.reduceat(hits, starts) / mass
    chosen = np.arange(len(mass))
    if len(mass) > _KNOTS:  # as many trials between any two knots, and the first and the last
        share = np.cumsum(mass) / mass.sum()
        chosen = np.unique(np.searchsorted(share, np.linspace(0, 1, _KNOTS) - 1e-12).clip(0, len(mass) - 1))
    pad = _KNOTS - len(chosen)
    return np.pad((mean / mass)[chosen], (0, pad), mode="edge"), np.pad(level[chosen], (0, pad), mode="edge")
