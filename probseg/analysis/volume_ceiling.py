"""The human ceiling of agreement on volumes: the intraclass correlation with the model in one rater's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import Figure
from probseg.analysis.bootstrap import bootstrap
from probseg.analysis.case_agreement import PREDICTION
from probseg.analysis.ceiling import ANYBODY, Ceiling, verdict
from probseg.analysis.drawn_volumes import DrawnVolumes
from probseg.analysis.held_out import ICC

__all__ = ["icc_of_sums", "volume_ceiling"]


def icc_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """ICC(2,1) from sums over cases, so that a bootstrap over patients needs no case twice.

    Args:
        sums: ``(..., k + 3)`` over cases, for k raters: each rater's values, the square of their mean, the sum of their
            squares, and 1. Values should be centred, since squares of large means cancel.

    Returns:
        ``(...)``; NaN for fewer than two cases or where nothing varies. The same as `probseg.analysis.icc`.
    """
    k = sums.shape[-1] - 3
    columns, of_means, of_squares, n = sums[..., :k], sums[..., k], sums[..., k + 1], sums[..., k + 2]
    safe = np.maximum(n, 2.0)
    correction = columns.sum(axis=-1) ** 2 / (safe * k)
    between = k * of_means - correction
    raters = (columns**2).sum(axis=-1) / safe - correction
    rest = of_squares - correction - between - raters
    cases, raters = between / (safe - 1), raters / (k - 1)
    error = rest / ((safe - 1) * (k - 1))
    bottom = cases + (k - 1) * error + k * (raters - error) / safe
    known = (n >= 2) & (bottom > 1e-12 * np.maximum(of_squares, 1e-300))
    return np.divide(cases - error, bottom, out=np.full(n.shape, np.nan), where=known)


def _sums(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(cases, k + 3)`` of a table ``(cases, k)``."""
    more = (table.mean(axis=1) ** 2, (table**2).sum(axis=1), np.ones(len(table)))
    return np.concatenate([table, np.stack(more, axis=1)], axis=1)


def volume_ceiling(
    volumes: DrawnVolumes, margins: Mapping[str, float], samples: int = 1000, seed: int = 0
) -> tuple[Ceiling, ...]:
    """ICC(2,1) of the raters' volumes of every structure beside that with the model for one of them.

    Only for raters who are the same persons throughout, over the cases that all of them and the model read whole; in mL
    where the size of a voxel is known everywhere, else in voxels.

    Args:
        volumes: what every party drew.
        margins: figure to margin; of `ICC` here.
        samples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        For every structure the mean over held-out raters, then each by name; nothing without a model or two raters.
    """
    if PREDICTION not in volumes.parties or len(volumes.raters) < 2:
        return ()
    values = volumes.voxels if np.isnan(volumes.voxel_ml).any() else volumes.ml
    patients, out = np.asarray(volumes.patients), []
    order = [volumes.parties.index(p) for p in (*volumes.raters, PREDICTION)]
    for k, structure in enumerate(volumes.structures):
        table = values[:, order, k]
        complete = ~np.isnan(table).any(axis=1)
        if complete.sum() >= 2:
            centred = table[complete] - table[complete].mean()
            out += _of_structure(structure, volumes.raters, centred, patients[complete], margins, samples, seed)
    return tuple(out)


def _of_structure(
    structure: str,
    raters: Sequence[str],
    table: NDArray[np.float64],
    patients: NDArray,
    margins: Mapping[str, float],
    samples: int,
    seed: int,
) -> list[Ceiling]:
    """From ``(cases, raters + 1)``, the model last."""
    m = len(raters)
    replaced = [np.where(np.arange(m) == h, table[:, [m]], table[:, :m]) for h in range(m)]
    blocks = np.stack([_sums(t) for t in (table[:, :m], *replaced)], axis=1)  # (cases, 1 + raters, m + 3)
    flat = blocks.reshape(len(table), -1)

    def of(weights: NDArray[np.float64]) -> Figure:
        """A weighted sum of the correlations: of the raters, then with the model in each place."""

        def figure(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return icc_of_sums(sums.reshape(*sums.shape[:-1], m + 1, m + 3)) @ weights

        return figure

    rater, out = np.eye(m + 1)[0], []
    each = [(name, np.eye(m + 1)[h + 1]) for h, name in enumerate(raters)]
    anybody = np.append(0.0, np.full(m, 1 / m))
    for name, place in ((ANYBODY, anybody), *each):
        own, model = (bootstrap(flat, patients, of(w), samples, seed) for w in (rater, place))
        apart = bootstrap(flat, patients, of(place - rater), samples, seed, "bca")
        if np.isnan(own.value):
            return []
        margin = margins.get(ICC)
        judged = None if margin is None else verdict(apart, "higher", margin)
        out.append(Ceiling(ICC, structure, name, "higher", own, model, apart, None, margin, judged))
    return out
