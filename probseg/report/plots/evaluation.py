"""Pictures of an evaluation: is what a model is least sure of what it gets most wrong, and do its volumes hold?"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from probseg.analysis.risk_coverage import risk_coverage as areas
from probseg.errors import ProbsegError
from probseg.report.plots.style import ACCENT, INK, LINE, MUTED, logarithmic, quiet, titled
from probseg.report.results import CaseTable, RunResult
from probseg.report.volume_points import VolumePoints

__all__ = ["coverage", "risk_coverage", "volume_agreement"]

_LEVELS = (50, 80, 95)


def risk_coverage(
    cases: CaseTable, axes: Axes, score: str = "diversity", quality: str = "dice", name: str = "the model"
) -> Axes:
    """Mean risk of the surest cases against their share, between the best order that there is and none at all.

    Args:
        cases: figures a case; those in which either is undefined are left out.
        axes: to draw on.
        score: column that is higher where the model is less sure; `diversity`, how far its own readings lie apart,
            needs no rater.
        quality: column whose difference from 1 is the risk.
        name: of the model, in the legend.

    Raises:
        ProbsegError: E_ARGUMENT for a column that is not there, or where no case has both.
    """
    for column in (score, quality):
        if column not in cases.metrics:
            raise ProbsegError("E_ARGUMENT", f"no column '{column}'; there are {', '.join(cases.metrics)}")
    unsure, risk = cases.metrics[score], 1.0 - cases.metrics[quality]
    known = ~np.isnan(unsure) & ~np.isnan(risk)
    if not known.any():
        raise ProbsegError("E_ARGUMENT", f"no case has both '{score}' and '{quality}'")
    unsure, risk = unsure[known], risk[known]
    share = np.arange(1, len(risk) + 1) / len(risk)
    own, best = (np.cumsum(risk[np.argsort(by, kind="stable")]) / np.arange(1, len(risk) + 1) for by in (unsure, risk))
    found = areas(unsure, risk)
    axes.axhline(float(risk.mean()), color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="no order")
    axes.fill_between(share, best, own, color=ACCENT, alpha=0.12, linewidth=0)
    axes.plot(share, best, color=MUTED, linewidth=1.4, linestyle=":", label="best order")
    axes.plot(share, own, color=ACCENT, linewidth=1.8, label=f"{name}: AURC {found.aurc:.3f}")
    axes.set(xlim=(0, 1.02), ylim=(0, None))
    axes.set_xlabel("share of cases kept, the surest first", color=MUTED)
    axes.set_ylabel(f"mean of 1 \N{MINUS SIGN} {quality} among them", color=MUTED)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return quiet(titled(axes, f"{len(risk)} cases, {found.excess:.3f} above the best order"))


def coverage(run: RunResult, axes: Axes) -> Axes:
    """Share of the raters' volumes within the predicted intervals of 50, 80 and 95 %, against what these state.

    Raises:
        ProbsegError: E_ARGUMENT where the run has no such figure.
    """
    found = [(level, run.figure(f"coverage_{level}")) for level in _LEVELS]
    known = [(level, figure) for level, figure in found if figure.defined]
    if not known:
        raise ProbsegError("E_ARGUMENT", f"the run '{run.folder.name}' has no coverage of volumes")
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for level, figure in known:
        if figure.has_interval:
            axes.plot([level, level], [100 * figure.low, 100 * figure.high], color=ACCENT, linewidth=2, zorder=2)
    axes.plot(
        [level for level, _ in known], [100 * f.value for _, f in known], "o", color=ACCENT, markersize=7, zorder=3
    )
    axes.set(xlim=(0, 102), ylim=(-2, 102), xticks=[0, *_LEVELS], yticks=[0, 50, 100], aspect="equal")
    axes.set_xlabel("stated, %", color=MUTED)
    axes.set_ylabel("raters' volumes held, %", color=MUTED)
    return quiet(axes)


def volume_agreement(points: VolumePoints, axes: Axes) -> Axes:
    """Predicted volume with its interval of 95 % against the raters' mean with their range, a cross a case.

    On the dashed line the two are equal. The scale is logarithmic where every volume is positive and they span more
    than a factor of 20.

    Raises:
        ProbsegError: E_ARGUMENT for no case.
    """
    if not points.case_ids:
        raise ProbsegError("E_ARGUMENT", f"no case has a predicted and a drawn volume of '{points.structure}'")
    both = np.concatenate([points.mean, points.raters_mean])
    low, high = float(both.min()), float(both.max())
    axes.hlines(points.mean, points.raters_low, points.raters_high, color=MUTED, linewidth=1.4, zorder=2)
    axes.vlines(points.raters_mean, points.low, points.high, color=ACCENT, linewidth=1.4, alpha=0.8, zorder=2)
    axes.plot(points.raters_mean, points.mean, "o", color=INK, markersize=4.5, markeredgewidth=0, zorder=3)
    if low > 0 and high > 20 * low:
        logarithmic(axes, "x")
        logarithmic(axes, "y")
        ends = [low / 1.5, high * 1.5]
    else:
        top = float(np.nanmax([high, np.nanmax(points.raters_high), np.nanmax(np.append(points.high, high))]))
        ends = [0.0, 1.05 * top]
        axes.set(xlim=(-0.02 * top, ends[1]), ylim=(-0.02 * top, ends[1]))
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_xlabel("raters' mean and range, mL", color=MUTED)
    axes.set_ylabel("predicted, 95 % of draws, mL", color=MUTED)
    marks = [
        Line2D([], [], color=c, linewidth=2, label=w)
        for c, w in ((MUTED, "raters' range"), (ACCENT, "model's interval"))
    ]
    axes.legend(handles=marks, frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return quiet(titled(axes, f"{points.structure}: {points.held} of {len(points.case_ids)} raters' means held"))
