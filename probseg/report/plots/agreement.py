"""Pictures of a study of raters: each function draws one result on axes and returns them.

A study may come from `probseg.analysis.analyse` (``report.study``) or from the disk
(`probseg.report.stored_agreement.read_agreement`).
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from probseg.analysis.case_agreement import PREDICTION, CaseStatistics
from probseg.analysis.ceiling import ANYBODY
from probseg.analysis.drawn_volumes import MEAN_RATER
from probseg.analysis.study import Study
from probseg.analysis.volume_agreement import bland_altman as limits_of_agreement
from probseg.errors import ProbsegError
from probseg.report.agreement_figures import AgreementFigures
from probseg.report.plots.style import ACCENT, INK, LINE, MUTED, WARN, logarithmic, matrix, quiet, signed, titled

__all__ = ["agreement_by_size", "bland_altman", "ceiling", "confusion", "pair_heat_map", "volumes_by_rater"]

_UNITS = {"volume_ml": "mL", "percent_of_lung": "% of lung"}


def pair_heat_map(study: Study | AgreementFigures, axes: Axes, structure: str) -> Axes:
    """Mean Dice of every two raters, and of the prediction, over the cases in which it is defined.

    Raises:
        ProbsegError: E_UNKNOWN_RATER where raters have no stable identity.
    """
    figures = _named(study)
    names = [*figures.raters, *([PREDICTION] if figures.predicted else [])]
    total, count = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for pair in figures.pairs:
        if pair.structure == structure and not math.isnan(pair.dice):
            a, b = names.index(pair.rater_a), names.index(pair.rater_b)
            for i, j in ((a, b), (b, a)):
                total[i, j] += pair.dice
                count[i, j] += 1
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    matrix(means, names, names, axes)
    return titled(axes, f"Dice on {structure}")


def confusion(study: Study | AgreementFigures, axes: Axes, rater: str, truth: str = "others") -> Axes:
    """What a rater calls (columns) what the others, or STAPLE, call so (rows); rows sum to 1.

    Args:
        study: the study.
        axes: to draw on.
        rater: a name.
        truth: ``others``, the plurality of the others, or ``staple``.

    Raises:
        ProbsegError: E_UNKNOWN_RATER for a rater who is not there, or where raters have no stable identity.
    """
    figures = _named(study)
    if rater not in figures.confusion:
        raise ProbsegError("E_UNKNOWN_RATER", f"no rater is called '{rater}'; there are {', '.join(figures.confusion)}")
    cells = [c for c in figures.confusion[rater] if c.truth == truth]
    classes = [n for n in figures.classes if any(n in (c.is_class, c.called) for c in cells)]
    shares = np.zeros((len(classes),) * 2)
    for cell in cells:
        shares[classes.index(cell.is_class), classes.index(cell.called)] = cell.share.value
    matrix(shares, classes, classes, axes)
    axes.set_ylabel("the others' plurality" if truth == "others" else "STAPLE", color=MUTED)
    axes.set_xlabel(f"called by {rater}", color=MUTED)
    return titled(axes, f"What {rater} calls it")


def bland_altman(
    study: Study | AgreementFigures,
    axes: Axes,
    structure: str,
    party_a: str,
    party_b: str,
    measure: str = "volume_ml",
) -> Axes:
    """Difference of two parties' volumes against their mean, with bias, limits of agreement and their intervals.

    A sloping line is drawn where the interval of the slope leaves out 0: the bias then depends on the size.

    Args:
        study: the study.
        axes: to draw on.
        structure: a class or group.
        party_a: a rater or ``prediction``.
        party_b: a rater, or `probseg.analysis.drawn_volumes.MEAN_RATER`.
        measure: ``volume_ml`` or ``percent_of_lung``.
    """
    figures = AgreementFigures.of(study)
    a, b = (_volumes(figures, party, structure, measure) for party in (party_a, party_b))
    found, known = limits_of_agreement(a, b), ~np.isnan(a - b)
    mean, difference = ((a + b) / 2)[known], (a - b)[known]
    axes.scatter(mean, difference, s=18, color=ACCENT, alpha=0.75, linewidths=0, zorder=3)
    lines = ((found.low, found.low_interval), (found.bias, found.bias_interval), (found.high, found.high_interval))
    for level, interval in lines:
        if not math.isnan(interval[0]):
            axes.axhspan(*interval, color=LINE, alpha=0.6, linewidth=0, zorder=1)
        if not math.isnan(level):
            style: str | tuple[int, tuple[int, int]] = "-" if level == found.bias else (0, (5, 3))
            axes.axhline(level, color=INK, linewidth=1.2, linestyle=style, zorder=2)
            axes.annotate(
                signed(f"{level:.3g}"),
                (1.01, level),
                xycoords=("axes fraction", "data"),
                va="center",
                color=INK,
                fontsize=9,
            )
    axes.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    if found.slope_interval[0] > 0 or found.slope_interval[1] < 0:
        ends = np.array([mean.min(), mean.max()])
        axes.plot(ends, difference.mean() + found.slope * (ends - mean.mean()), color=WARN, linewidth=1.2, zorder=2)
    unit = _UNITS[measure]
    axes.set_xlabel(f"mean of both, {unit}", color=MUTED)
    axes.set_ylabel(f"{party_a} less {party_b}, {unit}", color=MUTED)
    return quiet(titled(axes, f"{structure}, {found.n} cases"))


def volumes_by_rater(study: Study | AgreementFigures, axes: Axes, structure: str, measure: str = "volume_ml") -> Axes:
    """Every rater's volumes side by side, a line a case: who draws more than the others shows as a kink.

    The scale is logarithmic, so a bias is the same step everywhere; a case that somebody drew nothing of is left out
    there, and the axis says how many points that are.

    Raises:
        ProbsegError: E_UNKNOWN_RATER where raters have no stable identity.
    """
    figures = _named(study)
    drawn = {p: _volumes(figures, p, structure, measure) for p in figures.parties}
    parties = [p for p, values in drawn.items() if not np.isnan(values).all()]
    table = np.stack([drawn[p] for p in parties], axis=1)  # (cases, parties)
    nothing = int((table == 0).sum())
    table = np.where(table > 0, table, np.nan)
    places = np.arange(len(parties))
    for row in table:
        axes.plot(places, row, color=LINE, linewidth=0.8, zorder=1)
    axes.plot(places, table.T, linestyle="none", marker="o", markersize=3.5, color=MUTED, alpha=0.7, zorder=2)
    known = [column[~np.isnan(column)] for column in table.T]
    middle = [float(np.exp(np.log(k).mean())) if len(k) else math.nan for k in known]
    axes.plot(places, middle, color=ACCENT, linewidth=1.8, marker="D", markersize=6, zorder=3)
    if not np.isnan(table).all():
        logarithmic(axes, "y")
    slanted = max(map(len, parties), default=0) > 8
    axes.set_xticks(places, parties, rotation=30 if slanted else 0, ha="right" if slanted else "center")
    axes.set_ylabel(_UNITS[measure], color=MUTED)
    notes = [f"{nothing} volumes of 0 are not shown"] if nothing else []
    notes += [f"{p} looked at no whole image" for p in drawn if p not in parties]
    axes.set_xlabel("; ".join(notes), color=MUTED)
    return quiet(titled(axes, f"{structure}: each case, and the geometric mean"))


def agreement_by_size(study: Study, axes: Axes, structure: str) -> Axes:
    """Mean Dice of the pairs of each case against how much was drawn: small structures agree less for any rater.

    From 24 cases on with a line through the medians of up to eight parts. Where the size of a voxel is unknown, sizes
    are in voxels.
    """
    rows = [_size_and_dice(case, structure, study.info.labels.structures.index(structure)) for case in study.cases]
    size, dice, ml = (np.array(column) for column in zip(*rows, strict=True))
    known = ~np.isnan(dice) & (size > 0)
    in_ml = bool(known.any()) and not np.isnan(ml[known]).any()
    x, y = size * (ml if in_ml else 1.0), dice
    axes.scatter(x[known], y[known], s=18, color=ACCENT, alpha=0.6, linewidths=0, zorder=2)
    if known.sum() >= 24:
        order = np.argsort(x[known])
        parts = np.array_split(order, min(8, known.sum() // 4))
        centre = [float(np.median(x[known][p])) for p in parts]
        axes.plot(centre, [float(np.median(y[known][p])) for p in parts], color=INK, linewidth=1.6, zorder=3)
    if known.any():
        logarithmic(axes, "x")
    axes.set(ylim=(-0.02, 1.02))
    axes.set_xlabel(f"mean volume drawn, {'mL' if in_ml else 'voxels'}", color=MUTED)
    axes.set_ylabel("mean Dice of its pairs", color=MUTED)
    return quiet(titled(axes, f"{structure}, {int(known.sum())} cases"))


def ceiling(study: Study | AgreementFigures, axes: Axes, figure: str = "dice") -> Axes:
    """The model in a rater's place beside the rater, for every class and group, with 95 % intervals."""
    rows = [c for c in AgreementFigures.of(study).ceiling if c.figure == figure and c.held_out == ANYBODY]
    if not rows:
        raise ProbsegError("E_ARGUMENT", f"there is no human ceiling of '{figure}'; analyse with predictions")
    for place, row in enumerate(rows):
        for shift, interval, colour, marker in ((-0.15, row.raters, INK, "D"), (0.15, row.model, ACCENT, "o")):
            if not math.isnan(interval.low):
                axes.plot([interval.low, interval.high], [place + shift] * 2, color=colour, linewidth=2)
            axes.plot([interval.value], [place + shift], marker=marker, markersize=6, color=colour, markeredgewidth=0)
        words = "" if math.isnan(row.difference.low) else f" ({row.difference.low:+.3f} to {row.difference.high:+.3f})"
        axes.annotate(
            signed(f"{row.difference.value:+.3f}{words}"),
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            color=MUTED,
            fontsize=9,
        )
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [row.structure for row in rows])
    name = {"dice": "Dice", "iou": "IoU"}.get(figure, figure.replace("_", " "))
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    marks = [
        Line2D([], [], color=c, marker=m, linewidth=2, label=w)
        for c, m, w in ((INK, "D", "a rater"), (ACCENT, "o", "the model"))
    ]
    axes.legend(handles=marks, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return quiet(titled(axes, f"{name} with the other raters; at the right, the model less a rater"))


def _size_and_dice(case: CaseStatistics, structure: str, k: int) -> tuple[float, float, float]:
    dice = [p.dice for p in case.pairs if p.structure == structure and not math.isnan(p.dice)]
    sizes = [s[k] for s in case.sizes_voxels.values() if not math.isnan(s[k])]
    mean = sum(sizes) / len(sizes) if sizes else math.nan
    return mean, sum(dice) / len(dice) if dice else math.nan, case.voxel_volume_ml


def _named(study: Study | AgreementFigures) -> AgreementFigures:
    """The figures; E_UNKNOWN_RATER where a name is nobody."""
    figures = AgreementFigures.of(study)
    if figures.refused is not None:
        raise ProbsegError("E_UNKNOWN_RATER", figures.refused)
    return figures


def _volumes(figures: AgreementFigures, party: str, structure: str, measure: str) -> NDArray[np.float64]:
    """``(cases,)`` of one party."""
    if measure not in figures.volumes:
        measures = ", ".join(figures.volumes) or "no volumes"
        raise ProbsegError("E_ARGUMENT", f"'{measure}' is not known here; known are {measures}")
    if structure not in figures.structures:
        names = ", ".join(figures.structures)
        raise ProbsegError("E_UNKNOWN_LABEL", f"no class or group is called '{structure}'; there are {names}")
    table = figures.volumes[measure][:, :, figures.structures.index(structure)]
    if party == MEAN_RATER:
        drawn = table[:, [k for k, name in enumerate(figures.parties) if name != PREDICTION]]
        known = ~np.isnan(drawn)
        total, count = np.where(known, drawn, 0.0).sum(axis=1), known.sum(axis=1)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    if party != PREDICTION:
        _named(figures)
    if party not in figures.parties:
        raise ProbsegError("E_UNKNOWN_RATER", f"nobody is called '{party}'; there are {', '.join(figures.parties)}")
    return table[:, figures.parties.index(party)]
