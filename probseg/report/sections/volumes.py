"""Predicted volumes beside the raters': case by case, over cases, and whether the intervals keep what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probseg.report import plots
from probseg.report.figures import chart
from probseg.report.inputs import Inputs
from probseg.report.sections.agreement import Chart
from probseg.report.stored_agreement import estimate_of
from probseg.report.stored_evaluation import StoredEvaluation
from probseg.report.table import Cell, cell_of, figure_text, number_cell
from probseg.report.volume_points import read_volumes, volume_points

__all__ = ["VolumeView", "volume_pictures", "volume_views"]

ENDLESS = "no upper end"

COLUMNS = (
    ("volume_bias", "bias", 3),
    ("volume_error", "relative error", 3),
    ("volume_crps", "CRPS, mL", 3),
    ("coverage_50", "held by 50 %", 3),
    ("coverage_80", "held by 80 %", 3),
    ("coverage_95", "held by 95 %", 3),
    ("width_95", "width of 95 %, mL", 2),
    ("within_range", "within the raters' range", 3),
)


@dataclass(frozen=True)
class VolumeView:
    """One evaluation: a row a structure, a row a promise, and what was said."""

    title: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    promises: tuple[tuple[str, tuple[Cell, ...]], ...]
    level: str

    @property
    def endless(self) -> bool:
        """Whether any promise can only be kept by an interval without an upper end."""
        return any(cells[-1].value == ENDLESS for _, cells in self.promises)


def volume_views(evaluations: tuple[StoredEvaluation, ...], titles: dict[str, str]) -> list[VolumeView]:
    """Of the evaluations that know any volume."""
    views = [_view(e, titles[str(e.run.folder)]) for e in evaluations]
    return [v for v in views if v.rows]


def volume_pictures(inputs: Inputs, titles: dict[str, str]) -> list[Chart]:
    """Each predicted case against its raters, and stated against measured coverage."""
    found = list(_scatters(inputs))
    for k, run in enumerate(inputs.all_runs):
        levels = [(level, run.figure(f"coverage_{level}")) for level in (50, 80, 95)]
        if run.is_raters or not any(figure.defined for _, figure in levels):
            continue
        text = ", ".join(f"{level} % hold {figure_text(100 * f.value, 0)} %" for level, f in levels if f.defined)
        title = titles[str(run.folder)]
        picture = chart(
            lambda axes, r=run: plots.coverage(r, axes),  # type: ignore[misc]
            f"coverage-{k}",
            f"Share of the raters' volumes within the intervals of {title}: {text}.",
            (4.2, 4.0),
        )
        found.append(
            Chart(picture, f"{title}: share of the raters' volumes within its intervals, against what they state")
        )
    return found


def _scatters(inputs: Inputs) -> Iterator[Chart]:
    for k, predictions in enumerate(inputs.predictions):
        own = set(predictions.case_ids)
        stored = next((a for a in inputs.agreements if own & set(a.figures.case_ids)), None)
        if stored is None:
            continue
        predicted = read_volumes(predictions.folder, [c for c in predictions.case_ids if c in stored.figures.case_ids])
        points = volume_points(stored.figures, predicted, stored.headline)
        if not points.case_ids:
            continue
        low, high = float(points.raters_mean.min()), float(points.raters_mean.max())
        text = (
            f"Predicted volume of {stored.headline} against the raters' mean in {len(points.case_ids)} cases of "
            f"{figure_text(low, 1)} to {figure_text(high, 1)} mL; in {points.held} of them the predicted interval of "
            "95 % holds the raters' mean."
        )
        picture = chart(lambda axes, p=points: plots.volume_agreement(p, axes), f"volumes-{k}", text)  # type: ignore[misc]
        yield Chart(picture, f"A cross a case of {stored.dataset}: up and down the model's interval, across the raters")


def _view(evaluation: StoredEvaluation, title: str) -> VolumeView:
    rows = []
    whole = "opacity, the structure of interest" if "opacity" in evaluation.structures else "any class but background"
    for structure in ("", *evaluation.structures):
        estimates = [evaluation.of_model(metric, structure) for metric, _, _ in COLUMNS]
        if any(e.defined for e in estimates):
            cells = tuple(cell_of(e, digits) for e, (_, _, digits) in zip(estimates, COLUMNS, strict=True))
            rows.append((structure or whole, cells))
    promises = evaluation.data.get("promises") or {}
    kept = tuple(
        (
            str(p["class"]) or whole,
            (
                cell_of(estimate_of(p["before"]["held"])),
                _width(p["before"].get("width_ml")),
                cell_of(estimate_of(p["after"]["held"])),
                _width(p["after"].get("width_ml"), int(p["after"].get("infinite") or 0)),
            ),
        )
        for p in promises.get("volumes") or ()
    )
    level = promises.get("level")
    return VolumeView(title, tuple(rows), kept, "" if level is None else f"{100 * float(level):g} %")


def _width(value: object, endless: int = 0) -> Cell:
    """Mean width; where every interval is without an upper end, there is none."""
    if value is None and endless:
        return Cell(ENDLESS)
    return number_cell(float("nan") if value is None else float(str(value)), 2)
