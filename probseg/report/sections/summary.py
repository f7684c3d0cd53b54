"""The findings in sentences: every number and every claim is computed from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from probseg.report.results import Estimate, RunResult, paired_difference
from probseg.report.table import figure_text, interval_text

__all__ = ["summarise"]


def summarise(runs: Sequence[RunResult], titles: Mapping[str, str]) -> list[str]:
    """Plain sentences, most important first.

    A family is called better only where the interval of the paired difference over patients excludes 0; otherwise the
    sentence says that no difference can be claimed.

    Args:
        runs: tested runs, the raters among them or not.
        titles: what to call each run, by the path of its folder.
    """
    models = [r for r in runs if not r.is_raters]
    raters = next((r for r in runs if r.is_raters), None)
    sentences = [
        _among_raters(runs),
        _lowest(
            models,
            titles,
            "ged_v",
            "lies closest to the collection of the raters' masks",
            "has readings that lie apart from the raters' masks by a GED (V)",
            "GED (V)",
        ),
        _floor(models, titles),
        _lowest(
            models,
            titles,
            "nll",
            "is least surprised by what the raters drew",
            "is surprised by what the raters drew, by an NLL",
            "NLL",
            " nats",
        ),
        _calibration(models, titles),
        _spread(models, titles),
        _in_the_models_place(models, raters, titles),
        _limits(models),
    ]
    return [s for s in sentences if s]


def _with_interval(estimate: Estimate, digits: int = 3, unit: str = "") -> str:
    interval = interval_text(estimate, digits)
    shown = figure_text(estimate.value, digits) + unit
    return f"{shown} (95\N{NO-BREAK SPACE}% interval {interval})" if interval else f"{shown} (no interval)"


def _name(run: RunResult, titles: Mapping[str, str]) -> str:
    title = titles[str(run.folder)]
    return title if title[:1].isupper() and title.split()[0] in ("Monte",) else title[:1].lower() + title[1:]


def _the(run: RunResult, titles: Mapping[str, str]) -> str:
    name = _name(run, titles)
    return name if name.startswith("Monte") else f"the {name}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _among_raters(runs: Sequence[RunResult]) -> str:
    run = next((r for r in runs if r.figure("rater_diversity").defined), None)
    if run is None:
        return ""
    apart = run.figure("rater_diversity")
    overlap = Estimate(1.0 - apart.value, 1.0 - apart.high, 1.0 - apart.low, apart.n)
    return (
        f"In the {'one case' if apart.n == 1 else f'{apart.n} cases'} measured here with the models' ruler, the masks "
        f"of two raters overlap by {_with_interval(overlap)} on average (intersection over union, the mean of all "
        "classes: 1 would be full agreement; where only one of the two drew anything it is 0). Where raters differ, no "
        "single mask can agree with all of them."
    )


def _lowest(
    models: Sequence[RunResult],
    titles: Mapping[str, str],
    metric: str,
    what: str,
    alone: str,
    heading: str,
    unit: str = "",
) -> str:
    """The family with the lowest figure, and whether it can be told from the plain network and the next best.

    ``what`` it does best of all, and what is said of it where it stands ``alone``.
    """
    ranked = sorted((r for r in models if r.figure(metric).defined), key=lambda r: r.figure(metric).value)
    if not ranked:
        return ""
    best = ranked[0]
    if len(ranked) == 1:
        shown = _with_interval(best.figure(metric), unit=unit)
        return f"{_upper(_the(best, titles))} {alone} of {shown}; lower is better."
    start = (
        f"{_upper(_the(best, titles))} {what}: {heading}, lower is better, "
        f"{_with_interval(best.figure(metric), unit=unit)}."
    )
    plain = next((r for r in ranked[1:] if r.is_deterministic), None)
    rivals = [r for r in dict.fromkeys((plain, ranked[1])) if r is not None]
    return " ".join([start, *(_comparison(best, rival, titles, metric) for rival in rivals)])


def _comparison(best: RunResult, rival: RunResult, titles: Mapping[str, str], metric: str) -> str:
    """Better than the rival or not, judged on the cases that both saw."""
    other = _the(rival, titles)
    if best.cases is None or rival.cases is None:
        return f"Against {other} nothing can be claimed, because the figures of single cases are missing."
    gap = paired_difference(rival.cases, best.cases, metric)
    if not gap.has_interval:
        return f"Against {other} nothing can be claimed, because too few patients were seen by both."
    if gap.low > 0:
        return f"{_upper(other)} is higher, thus worse, by {_with_interval(gap)} a case over the same {gap.n} cases."
    return (
        f"{_upper(other)} differs by {_with_interval(gap)} a case over the same {gap.n} cases; the interval does "
        "not exclude zero, so no difference can be claimed."
    )


def _floor(models: Sequence[RunResult], titles: Mapping[str, str]) -> str:
    """Where families drew different numbers of readings, how much of GED (V) that alone makes."""
    ranked = sorted((r for r in models if r.figure("ged_floor").defined), key=lambda r: r.figure("ged_floor").value)
    if not ranked:
        return ""
    low, high = (r.figure("ged_floor").value for r in (ranked[0], ranked[-1]))
    if high - low < 0.01:
        return ""
    return (
        "Part of a GED (V) only reflects how many readings were compared: with as many as "
        f"{_the(ranked[-1], titles)} has, a perfect model would score {figure_text(high)}, with as many as "
        f"{_the(ranked[0], titles)} {figure_text(low)}. GED (U) has no such part."
    )


def _calibration(models: Sequence[RunResult], titles: Mapping[str, str]) -> str:
    ranked = sorted((r for r in models if r.figure("ece").defined), key=lambda r: r.figure("ece").value)
    if not ranked:
        return ""
    best, worst = ranked[0], ranked[-1]
    text = (
        f"{_upper(_the(best, titles))} states probabilities that differ from the share of raters who agree by "
        f"{_with_interval(best.figure('ece'))} on average (ECE)"
    )
    if best is worst:
        return text + "."
    ahead = best.figure("ece").high < worst.figure("ece").low  # False where an interval is missing
    verdict = "the two intervals do not overlap" if ahead else "the intervals overlap, so no difference can be claimed"
    return (
        f"{text}, the least of the families; {_the(worst, titles)} by {_with_interval(worst.figure('ece'))}: {verdict}."
    )


def _spread(models: Sequence[RunResult], titles: Mapping[str, str]) -> str:
    """Whether readings vary as much as raters do, for the probabilistic U-Net or else the family of lowest GED."""
    known = [r for r in models if r.figure("diversity").defined and r.figure("rater_diversity").defined]
    if not known:
        return ""
    run = min(known, key=lambda r: (r.class_name != "ProbabilisticUNet", r.figure("ged_v").value))
    own, theirs = run.figure("diversity"), run.figure("rater_diversity")
    text = (
        f"Two readings of {_the(run, titles)} lie {_with_interval(own)} apart (1 \N{MINUS SIGN} IoU), two raters "
        f"{_with_interval(theirs)}"
    )
    if not (own.has_interval and theirs.has_interval):
        return text + "."
    if own.high < theirs.low:
        return f"{text}: it varies less than the raters do."
    if own.low > theirs.high:
        return f"{text}: it varies more than the raters do."
    return f"{text}: no difference in spread can be claimed."


def _in_the_models_place(models: Sequence[RunResult], raters: RunResult | None, titles: Mapping[str, str]) -> str:
    if raters is None:
        return ""
    for metric, heading in (("soft_dice", "soft Dice"), ("hm_iou", "HM-IoU")):
        ranked = sorted((r for r in models if r.figure(metric).defined), key=lambda r: -r.figure(metric).value)
        if raters.figure(metric).defined and ranked:
            return (
                f"One rater put in the model's place and compared with the others reaches a {heading} of "
                f"{_with_interval(raters.figure(metric))}, {_the(ranked[0], titles)} "
                f"{_with_interval(ranked[0].figure(metric))}; higher is better. The two are not quite alike: a rater "
                "is one mask and is compared with one rater fewer."
            )
    return ""


def _limits(models: Sequence[RunResult]) -> str:
    if not models:
        return ""
    if not any(f.has_interval for run in models for f in run.figures.values()):
        return (
            "Each row is one trained model. There are no intervals, for these take two patients or more; nothing here "
            "tells what other patients would have given."
        )
    return (
        "Each row is one trained model. The intervals tell what other patients from the same source might have given; "
        "they do not cover another training run, another scanner or another hospital."
    )
