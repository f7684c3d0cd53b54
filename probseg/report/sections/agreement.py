"""How far the raters differ from one another: tables, pictures, and a card of each rater."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from probseg.analysis.case_agreement import PREDICTION
from probseg.analysis.drawn_volumes import MEAN_RATER
from probseg.report import plots
from probseg.report.figures import chart
from probseg.report.results import Estimate
from probseg.report.stored_agreement import StoredAgreement, estimate_of
from probseg.report.table import Cell, cell_of, figure_text, words_of

__all__ = ["AgreementView", "Chart", "agreement_view", "headline_sentences"]

_FIGURES = (("dice", 3), ("iou", 3), ("surface_distance_mean_mm", 2), ("surface_distance_95_mm", 2))
_MOST_PAIRS = 6
_MOST_RATERS = 6


@dataclass(frozen=True)
class Chart:
    """A picture and the words under it."""

    picture: Markup
    caption: str


@dataclass(frozen=True)
class AgreementView:
    """One data set's agreement, ready for the page.

    Attributes:
        dataset, note: name of the data set and what it says of itself.
        sentence: the overall figures in words.
        rows: a row a class or group: its name; Dice, IoU, mean and 95th-percentile surface distance in mm; pairs
            compared; pairs with one mask empty.
        beyond: heading and figure beyond chance and of all raters together.
        structure: what the pictures are of.
        pictures: heat map and volumes by rater, where raters are persons.
        bland_altman: a picture a pair.
        confusion: a picture a rater, where there are several classes.
        cards: rater, structure, cases and cells of each rater in each structure; empty where raters are positions.
        unread: raters who looked at no whole image, and so have no volume.
        refused: why nothing is said of single raters; empty where it is.
    """

    dataset: str
    note: str
    sentence: str
    rows: tuple[tuple[str, tuple[Cell, ...], int, int], ...]
    beyond: tuple[tuple[str, Cell], ...]
    structure: str
    pictures: tuple[Chart, ...]
    bland_altman: tuple[Chart, ...]
    confusion: tuple[Chart, ...]
    cards: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    unread: tuple[str, ...]
    refused: str


def agreement_view(stored: StoredAgreement, place: int = 0) -> AgreementView:
    """What the page shows of a folder of ``probseg agreement``; ``place`` keeps its pictures apart from others'."""
    data = stored.data
    named = not stored.figures.refused
    return AgreementView(
        stored.dataset,
        str(data.get("note", "")),
        _sentence(stored),
        tuple(_row(name, figures) for name, figures in data["structures"].items()),
        tuple(_beyond(stored)),
        stored.headline,
        tuple(_pictures(stored, place)) if named else (),
        tuple(_bland_altman(stored, place)),
        tuple(_confusion(stored, place)) if named else (),
        tuple(_cards(stored)) if named else (),
        _unread(stored) if named else (),
        stored.figures.refused or "",
    )


def headline_sentences(stored: StoredAgreement) -> list[str]:
    """What the summary says of the raters: overlap, agreement beyond chance, kinds of disagreement."""
    data, structure = stored.data, stored.headline
    dice = estimate_of(data["structures"][structure]["dice"])
    said = []
    if dice.defined:
        said.append(
            f"In {stored.dataset}, two raters of a case overlap on {structure} with a mean Dice of {words_of(dice)}, "
            f"in {dice.n} cases."
        )
    kappa = data.get("fleiss_kappa")
    if kappa is not None and estimate_of(kappa).defined:
        text = (data.get("region") or {}).get("text", "the declared region")
        said.append(f"Beyond chance, over {text}, Fleiss' kappa of all classes is {words_of(estimate_of(kappa))}.")
    kinds = data.get("disagreement") or {}
    shares = [(n, estimate_of(kinds[f"{n}_share"])) for n in ("class", "presence", "extent") if f"{n}_share" in kinds]
    if shares and all(e.defined for _, e in shares):
        words = {"class": "another class", "presence": "a finding that one did not draw at all", "extent": "extent"}
        parts = [f"{figure_text(100 * e.value, 0)} % are {words[name]}" for name, e in shares]
        said.append(f"Of the voxels at which two raters differ, {', '.join(parts)}.")
    return said


def _sentence(stored: StoredAgreement) -> str:
    data = stored.data
    share, entropy = estimate_of(data["complete_agreement"]), estimate_of(data["rater_entropy"])
    start = f"{data['cases']} cases of {data['patients']} patients, at most {data['raters_max']} raters a case."
    if not share.defined:
        return f"{start} No case has two raters and something drawn, so agreement is undefined."
    percent = Estimate(100 * share.value, 100 * share.low, 100 * share.high, share.n)
    return (
        f"{start} Of the voxels that any rater drew, all raters agree on {words_of(percent, 1, ' %')}; the entropy of "
        f"their vote there is {words_of(entropy, 3, ' nats')}."
    )


def _row(name: str, figures: dict) -> tuple[str, tuple[Cell, ...], int, int]:
    cells = tuple(cell_of(estimate_of(figures[key]), digits) for key, digits in _FIGURES)
    return name, cells, int(figures["pairs"]), int(figures["one_empty"])


def _beyond(stored: StoredAgreement) -> Iterator[tuple[str, Cell]]:
    for key, heading in (
        ("fleiss_kappa", "Fleiss' kappa"),
        ("krippendorff_alpha", "Krippendorff's alpha"),
        ("cohen_kappa", "Cohen's kappa, mean of pairs"),
        ("complete_agreement", "complete agreement"),
        ("rater_entropy", "entropy of the vote, nats"),
    ):
        if stored.data.get(key) is not None:
            yield heading, cell_of(estimate_of(stored.data[key]))


def _pictures(stored: StoredAgreement, place: int) -> Iterator[Chart]:
    figures, structure = stored.figures, stored.headline
    if figures.pairs and len(figures.raters) > 1:
        side = 2.6 + 0.45 * len(figures.raters)
        dice = [p for p in figures.pairs if p.structure == structure and not math.isnan(p.dice)]
        pairs = sorted({(p.rater_a, p.rater_b) for p in dice})
        means = {pair: [p.dice for p in dice if (p.rater_a, p.rater_b) == pair] for pair in pairs}
        text = ", ".join(f"{a} and {b} {figure_text(sum(v) / len(v), 2)}" for (a, b), v in means.items())
        draw = partial(_heat_map, stored)
        yield Chart(
            chart(draw, f"pairs-{place}", f"Mean Dice on {structure}: {text}.", (max(side, 4.2), max(side - 0.5, 3.4))),
            "Mean Dice of every two parties over the cases in which it is defined.",
        )
    if "volume_ml" in figures.volumes and structure in figures.structures and len(figures.raters) > 1:
        yield Chart(
            chart(
                lambda axes: plots.volumes_by_rater(figures, axes, structure),
                f"by-rater-{place}",
                f"Volume of {structure} that each party drew in each case, in mL; the rows are in volumes.csv.",
                (5.6, 4.0),
            ),
            "A line a case; diamonds are geometric means. Who draws more than the others shows as a kink.",
        )


def _heat_map(stored: StoredAgreement, axes: Axes) -> None:
    plots.pair_heat_map(stored.figures, axes, stored.headline)


def _bland_altman(stored: StoredAgreement, place: int) -> Iterator[Chart]:
    figures, structure = stored.figures, stored.headline
    if "volume_ml" not in figures.volumes or structure not in figures.structures:
        return
    pairs = [] if figures.refused else list(combinations(figures.raters, 2))[:_MOST_PAIRS]
    pairs += [(PREDICTION, MEAN_RATER)] if PREDICTION in figures.parties else []
    found = {
        (b["party_a"], b["party_b"]): b["agreement"]
        for b in stored.data.get("bland_altman") or ()
        if (b["structure"], b["measure"]) == (structure, "volume_ml")
    }
    for k, (a, b) in enumerate(pairs):
        agreement = found.get((a, b)) or {}
        if not agreement.get("n"):  # one of them read no whole image
            continue
        numbers = [agreement.get(name) for name in ("bias", "low", "high")]
        known = [figure_text(float(v), 1) for v in numbers if v is not None]
        text = f"Volumes of {structure}, {a} less {b}, against their mean"
        if len(known) == len(numbers):
            text += f": bias {known[0]} mL, limits of agreement {known[1]} to {known[2]} mL"
        yield Chart(
            chart(
                lambda axes, a=a, b=b: plots.bland_altman(figures, axes, structure, a, b),  # type: ignore[misc]
                f"bland-altman-{place}-{k}",
                text + ".",
                (5.0, 3.5),
            ),
            f"{a} and {b}",
        )


def _unread(stored: StoredAgreement) -> tuple[str, ...]:
    table = stored.figures.volumes.get("volume_ml")
    if table is None or stored.headline not in stored.figures.structures:
        return ()
    own = table[:, :, stored.figures.structures.index(stored.headline)]
    parties = zip(stored.figures.parties, own.T, strict=True)
    return tuple(name for name, column in parties if np.isnan(column).all())


def _confusion(stored: StoredAgreement, place: int) -> Iterator[Chart]:
    if len(stored.figures.classes) < 3:  # with one class beside background the table of Dice says it all
        return
    for k, rater in enumerate(list(stored.figures.confusion)[:_MOST_RATERS]):
        cells = [c for c in stored.figures.confusion[rater] if c.truth == "others" and c.is_class != c.called]
        worst = sorted(cells, key=lambda c: -c.share.value)[:3]
        text = ", ".join(f"{figure_text(100 * c.share.value, 0)} % of {c.is_class} called {c.called}" for c in worst)
        size = 2.6 + 0.36 * len(stored.figures.classes)
        yield Chart(
            chart(
                lambda axes, r=rater: plots.confusion(stored.figures, axes, r),  # type: ignore[misc]
                f"confusion-{place}-{k}",
                f"What {rater} calls what the plurality of the others calls a class; most often apart: {text}.",
                (size, size - 0.4),
            ),
            f"{rater}: {text}" if text else rater,
        )


_CARD = (
    ("dice", 3, 1.0),
    ("consensus_dice", 3, 1.0),
    ("sensitivity", 3, 1.0),
    ("specificity", 4, 1.0),
    ("staple_sensitivity", 3, 1.0),
    ("staple_specificity", 4, 1.0),
)


def _cards(stored: StoredAgreement) -> Iterator[tuple[str, str, tuple[Cell, ...]]]:
    for rater, structures in (stored.data.get("raters") or {}).items():
        for name, figures in structures.items():
            ratio = estimate_of(figures["volume_log_ratio"])
            value, low, high = (100 * math.expm1(v) for v in (ratio.value, ratio.low, ratio.high))
            bias = Estimate(value, low, high, ratio.n)
            cells = [cell_of(estimate_of(figures[key]), digits, scale) for key, digits, scale in _CARD]
            yield rater, name, (*cells, cell_of(bias, 1))
