"""Tested runs side by side: figures with their intervals, and reliability."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from probseg.report.plots.style import ACCENT, INK, LINE, MUTED, quiet
from probseg.report.results import RunResult

__all__ = ["forest", "reliability"]


def reliability(run: RunResult, axes: Axes, start: float = 0.0) -> Axes:
    """Stated probability against the share of raters who agree; a marker's area grows with the trials behind it.

    Of a calibrated run there is also, in grey with hollow markers, the curve before calibration. Both axes run from
    ``start`` to 1: the likeliest of C classes never has less than 1/C, so the lower part is empty.
    """
    axes.plot([start, 1], [start, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    before = run.reliability_before
    if before is not None and len(before.count):
        axes.plot(
            before.confidence, before.frequency, color=MUTED, linewidth=1.2, zorder=2, marker="o", mfc="none", ms=4
        )
    curve = run.reliability
    if curve is not None and len(curve.count):
        area = 12.0 + 150.0 * curve.count / curve.count.max()
        axes.plot(curve.confidence, curve.frequency, color=ACCENT, linewidth=1.5, zorder=2)
        axes.scatter(curve.confidence, curve.frequency, s=area, color=ACCENT, alpha=0.75, linewidths=0, zorder=3)
    ticks = [start, (1 + start) / 2, 1.0]
    room = 0.05 * (1 - start)
    limits = (start - room / 2, 1 + room)
    axes.set(xlim=limits, ylim=limits, xticks=ticks, yticks=ticks, aspect="equal")
    for set_labels in (axes.set_xticklabels, axes.set_yticklabels):
        set_labels([f"{tick:.2f}".rstrip("0").rstrip(".") for tick in ticks])
    return quiet(axes)


def forest(runs: Sequence[RunResult], axes: Axes, metric: str) -> Axes:
    """One figure of every family with its interval, first family at the top; undefined ones leave their row empty."""
    for row, run in enumerate(runs):
        estimate = run.figure(metric)
        if not estimate.defined:
            axes.text(
                0.5, row, "undefined", transform=axes.get_yaxis_transform(), ha="center", va="center", color=MUTED
            )
            continue
        colour, marker = (INK, "D") if run.is_raters else (ACCENT, "o")
        if estimate.has_interval:
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([estimate.value], [row], marker=marker, markersize=7, color=colour, markeredgewidth=0)
    axes.set(ylim=(len(runs) - 0.5, -0.5), yticks=range(len(runs)))
    axes.set_yticklabels([run.title for run in runs])
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return quiet(axes)
