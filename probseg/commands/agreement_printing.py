"""What ``probseg agreement`` prints: tables of the figures, and what they say in sentences."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from probseg.analysis.agreement import AgreementReport, StructureFigures
from probseg.analysis.bootstrap import Interval
from probseg.analysis.ceiling import ANYBODY

__all__ = ["clean", "print_tables", "sentences"]


def clean(text: str) -> str:
    """Names come from files; a control character in one must not reach the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _show(interval: Interval, digits: int = 3) -> str:
    if interval.n == 0:
        return "-"
    if math.isnan(interval.low):  # fewer than two patients
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _cell(interval: Interval, digits: int) -> str:
    """The interval on a line of its own, so that a table of many columns fits a narrow terminal."""
    if interval.n == 0 or math.isnan(interval.low):
        return _show(interval, digits)
    between = " to " if interval.low < 0 else "-"
    return f"{interval.value:.{digits}f}\n{interval.low:.{digits}f}{between}{interval.high:.{digits}f}"


def print_tables(report: AgreementReport, console: Console) -> None:
    """Pairs of raters, all raters together, and volumes, one row a class and group."""
    title = Text(f"Raters among themselves: {clean(report.info.name)}")
    table = Table(title=title, caption="under each mean its 95 % interval; cases: where Dice is defined")
    table.add_column("class", overflow="fold")
    for column in ("Dice", "IoU", "surface\nmean, mm", "surface\n95 %, mm", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for s in report.structures:
        distances = (_cell(s.surface_distance_mean_mm, 2), _cell(s.surface_distance_95_mm, 2))
        table.add_row(Text(clean(s.structure)), _cell(s.dice, 3), _cell(s.iou, 3), *distances, str(s.dice.n))
    console.print(table)
    _print_votes(report, console)
    if any(v.volume_ml.n for v in report.volumes):
        _print_volumes(report, console)
    _print_raters(report, console)
    _print_ceiling(report, console)


def _print_raters(report: AgreementReport, console: Console) -> None:
    """A row a rater, in the structure of most interest; with two raters agreement is mutual and there is no table."""
    structure = _of_interest(report)
    rows = [r for r in report.raters if r.structure == structure]
    if len(rows) < 3:
        return
    table = Table(
        title=Text(f"Raters against the others: {clean(structure)}"),
        caption="bias: volume over the geometric mean of the others', less 1",
    )
    table.add_column("rater", overflow="fold")
    for column in ("Dice", "bias, %", "sensitivity", "specificity"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in rows:
        cells = [_cell(f, 3) for f in (r.sensitivity, r.specificity)]
        table.add_row(Text(clean(r.rater)), _cell(r.dice, 3), _cell(_percent(r.volume_log_ratio), 1), *cells)
    console.print(table)


def _percent(ratio: Interval) -> Interval:
    """A log ratio as percent more."""
    value, low, high = (100 * math.expm1(v) for v in (ratio.value, ratio.low, ratio.high))
    return Interval(value, low, high, ratio.n)


def _of_interest(report: AgreementReport) -> str:
    """Opacity where there is one, else the first class or group."""
    structures = report.info.labels.structures
    return "opacity" if "opacity" in structures else structures[0]


def _print_ceiling(report: AgreementReport, console: Console) -> None:
    """The model in a rater's place beside the rater, in Dice."""
    rows = [c for c in report.study.ceiling if c.figure == "dice" and c.held_out == ANYBODY]
    if not rows:
        return
    table = Table(
        title="The model in a rater's place, Dice", caption="ceiling.csv has every figure, and Williams' index"
    )
    table.add_column("class", overflow="fold")
    margin = rows[0].margin
    last = () if margin is None else (f"within\n{margin:g}?",)
    for column in ("a rater", "the model", "difference", "cases", *last):
        table.add_column(column, justify="right", no_wrap=True)
    words = {"non-inferior": "yes", "inferior": "no", "inconclusive": "open", None: "-"}
    for c in rows:
        difference = _cell(c.difference, 3).replace(" to ", " to\n")  # so that the names keep their room
        cells = [_cell(c.raters, 3), _cell(c.model, 3), difference, str(c.difference.n)]
        table.add_row(Text(clean(c.structure)), *cells, *([] if margin is None else [words[c.verdict]]))
    console.print(table)


def _print_volumes(report: AgreementReport, console: Console) -> None:
    table = Table(title="What raters drew, mL", caption="means over cases with their 95 % intervals")
    table.add_column("class", overflow="fold")
    for column in ("volume", "largest less smallest\nof a case", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for v in report.volumes:
        digits = _digits(v.volume_ml)
        cells = (_show(v.volume_ml, digits), _show(v.range_ml, digits))
        table.add_row(Text(clean(v.structure)), *cells, str(v.volume_ml.n))
    console.print(table)


def _digits(interval: Interval) -> int:
    """A nodule has hundredths of a mL, a lung thousands of mL."""
    return 2 if math.isnan(interval.value) or interval.value < 10 else 0


def sentences(report: AgreementReport) -> list[str]:
    """What the figures say, one statement a line."""
    cases, patients = len(report.cases), len({c.patient_id for c in report.cases})
    most = max(len(c.raters) for c in report.cases)
    known = [s for s in report.structures if s.dice.n]
    out = [f"{cases} cases of {patients} patients, up to {most} raters a case; 95 % intervals from patients."]
    if known:
        out.append(_overlap_sentence(known))
    if report.complete_agreement.n:
        share, entropy = report.complete_agreement, report.rater_entropy
        where = "there" if report.settings.region == "union" else f"over {clean(report.settings.region_text())}"
        out.append(
            f"Of the voxels that any rater drew, all raters agree on {100 * share.value:.1f} %"
            f"{_range(share, 100, 1, ' %')}; the entropy of their vote {where} is {entropy.value:.3f} nats"
            f"{_range(entropy, 1, 3, '')}."
        )
        out += _beyond_chance(report)
    else:
        out.append("No case has two raters and something drawn, so agreement is undefined.")
    one = sum(s.one_empty for s in report.structures)
    both = sum(s.both_empty for s in report.structures)
    total = sum(s.pairs for s in report.structures)
    if one or both:
        out.append(
            f"Of {total} comparisons, {one} have one mask empty (Dice 0, no surface distance) and {both} have both "
            "empty (not counted)."
        )
    if any(s.dice.n and not s.surface_distance_mean_mm.n for s in report.structures) and all(
        math.isnan(c.voxel_volume_ml) for c in report.cases
    ):
        out.append("Spacing or slice thickness is unknown, so what needs mm or mL is empty.")
    out.append(_rater_sentence(report))
    return [*out, *([clean(report.info.note)] if report.info.note else [])]


def _beyond_chance(report: AgreementReport) -> list[str]:
    """Kappa and alpha over the declared region, and what kind of disagreement there is."""
    together, kinds, out = report.votes[0], report.disagreement, []
    if together.krippendorff_alpha.n:
        out.append(
            f"Beyond chance, over {clean(report.settings.region_text())}: Fleiss' kappa "
            f"{_show(together.fleiss_kappa)}, Krippendorff's alpha {_show(together.krippendorff_alpha)}."
        )
    if kinds.class_share.n:
        shares = (kinds.extent_share, kinds.presence_share, kinds.class_share)
        extent, presence, by_class = (f"{100 * share.value:.0f} %" for share in shares)
        out.append(
            f"Of the voxels at which two raters differ, {extent} are extent, {presence} a finding that one of them did "
            f"not draw at all, and {by_class} another class."
        )
    return out


def _range(interval: Interval, scale: float, digits: int, unit: str) -> str:
    if math.isnan(interval.low):
        return ""
    return f" ({scale * interval.low:.{digits}f} to {scale * interval.high:.{digits}f}{unit})"


def _overlap_sentence(known: list[StructureFigures]) -> str:
    low, high = (f(known, key=lambda s: s.dice.value) for f in (min, max))
    text = f"Two raters overlap with a mean Dice of {_show(low.dice)} on {clean(low.structure)}"
    if low is high:
        return text + "."
    return f"{text}, the least, and {_show(high.dice)} on {clean(high.structure)}, the most."


def _rater_sentence(report: AgreementReport) -> str:
    if not report.info.stable_raters:
        return (
            "Raters have no stable identity here: rater_a, rater_b and rater in the tables are positions within a "
            "case, not persons, so nothing is said of single raters."
        )
    scores: dict[str, list[float]] = {}
    for r in report.raters:
        if r.dice.n:
            scores.setdefault(r.rater, []).append(r.dice.value)
    if not scores:
        return "No rater can be compared with another."
    if len(scores) < 3:
        return "With two raters agreement is mutual; raters.csv has each one's bias in volume with its interval."
    means = {rater: sum(values) / len(values) for rater, values in scores.items()}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return (
        f"Against the others, {clean(most)} agrees most (Dice {means[most]:.3f}, mean over classes and groups) and "
        f"{clean(least)} least ({means[least]:.3f}); raters.csv has each with its interval and bias in volume."
    )


def _print_votes(report: AgreementReport, console: Console) -> None:
    """All raters together; left out where nothing is known, or it is all of one class and stands in a sentence."""
    if not any(v.complete_agreement.n for v in report.votes):
        return
    caption = f"kappa, alpha and entropy over {report.settings.region_text()}; means over cases"
    table = Table(title="All raters together", caption=Text(clean(caption)))
    table.add_column("class", overflow="fold")
    for column in ("complete\nagreement", "entropy,\nnats", "Fleiss'\nkappa", "Krippen-\ndorff's alpha"):
        table.add_column(column, justify="right", no_wrap=True)
    # Of a single structure, all classes together say the same.
    for v in report.votes if len(report.structures) > 1 else report.votes[1:]:
        figures = (v.complete_agreement, v.rater_entropy, v.fleiss_kappa, v.krippendorff_alpha)
        table.add_row(Text(clean(v.structure)), *(_cell(f, 3) for f in figures))
    console.print(table)
