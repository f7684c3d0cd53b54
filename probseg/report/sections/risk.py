"""Does the model know what it does not know: risk against coverage, and which map tells where raters differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probseg.report import plots
from probseg.report.figures import chart
from probseg.report.results import RunResult
from probseg.report.sections.agreement import Chart
from probseg.report.stored_agreement import estimate_of
from probseg.report.stored_evaluation import StoredEvaluation
from probseg.report.table import Cell, cell_of

__all__ = ["FEWEST", "MAP_FIGURES", "RiskView", "risk_pictures", "risk_views"]

FEWEST = 3
"""Cases, fewer of which no score can put in a good order or a bad one."""

MAP_FIGURES = (
    ("disagreement_spearman", "Spearman with the raters' entropy"),
    ("disagreement_auroc", "AUROC of dispute"),
    ("error_auroc", "AUROC of error"),
    ("excess_aurc", "excess AURC of voxels"),
)


@dataclass(frozen=True)
class RiskView:
    """One evaluation: a row a map, a row a score of cases, and what was said of them."""

    title: str
    maps: tuple[tuple[str, tuple[Cell, ...]], ...]
    scores: tuple[tuple[str, tuple[Cell, ...]], ...]
    sentences: tuple[str, ...]
    cases: int


def risk_pictures(
    runs: tuple[RunResult, ...], titles: dict[str, str], evaluations: tuple[StoredEvaluation, ...] = ()
) -> list[Chart]:
    """The curve of every run whose cases have both figures; the raters have readings of nobody.

    Cases are ordered by the score that its evaluation found best, or else by how far the run's own readings lie apart.
    """
    best = {e.run.folder: _best_score(e) for e in evaluations}
    found = []
    for k, run in enumerate(runs):
        table = run.cases
        if run.is_raters or table is None:
            continue
        score = next((s for s in (best.get(run.folder), "diversity") if s in table.metrics), None)
        if score is None or "dice" not in table.metrics:
            continue
        known = np.isfinite(table.metrics[score]) & np.isfinite(table.metrics["dice"])
        if known.sum() < FEWEST or not np.ptp(table.metrics[score][known]):
            continue
        title = titles[str(run.folder)]
        mean = float(1 - table.metrics["dice"][known].mean())
        text = f"Risk against coverage of {title}: over all {int(known.sum())} cases the mean risk is {mean:.3f}."
        picture = chart(
            lambda axes, t=table, n=title, s=score: plots.risk_coverage(t, axes, s, name=n),  # type: ignore[misc]
            f"risk-{k}",
            text,
        )
        found.append(Chart(picture, f"{title}: cases ordered by {_words(score)}"))
    return found


def _best_score(evaluation: StoredEvaluation) -> str | None:
    """Column of ``cases.csv`` with the score that ranks the cases best; None where none was measured."""
    scores = (evaluation.data.get("ranking") or {}).get("scores") or ()
    return f"score_{scores[0]['score']}" if scores else None


def _words(score: str) -> str:
    if score == "diversity":
        return "how far its own readings lie apart"
    return f"{score.removeprefix('score_').replace('_', ' ')}, the score that orders these very cases best"


def risk_views(evaluations: tuple[StoredEvaluation, ...], titles: dict[str, str]) -> list[RiskView]:
    """Of every evaluation."""
    return [_view(e, titles[str(e.run.folder)]) for e in evaluations]


def _view(evaluation: StoredEvaluation, title: str) -> RiskView:
    ranking = evaluation.data.get("ranking") or {}
    figures = {(m["map"], m["figure"]): estimate_of(m) for m in ranking.get("maps") or ()}
    names = list(dict.fromkeys(name for name, _ in figures))
    maps = tuple(
        (n, tuple(cell_of(figures[n, f]) if (n, f) in figures else Cell("") for f, _ in MAP_FIGURES)) for n in names
    )
    scores = tuple(
        (
            str(s["score"]).replace("_", " "),
            tuple(cell_of(estimate_of(s[k])) for k in ("excess_aurc", "aurc", "spearman", "failure_auroc")),
        )
        for s in ranking.get("scores") or ()
    )
    cases = int(evaluation.data.get("cases") or 0)
    return RiskView(title, maps, scores if cases >= FEWEST else (), evaluation.sentences, cases)
