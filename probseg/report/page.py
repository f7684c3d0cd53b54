"""The page: results in, one self-contained HTML file out."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from probseg.io.atomic import write_text
from probseg.report.figures import colour_stops, forest_svg, reliability_svg
from probseg.report.inputs import Inputs, gather_inputs
from probseg.report.plots.style import PROBABILITY, UNCERTAINTY
from probseg.report.results import RunResult, titles_of
from probseg.report.sections import provenance
from probseg.report.sections.agreement import agreement_view, headline_sentences
from probseg.report.sections.calibration import CALIBRATED, calibration_views, curves_text, fitted_views
from probseg.report.sections.case_table import case_table_view, worst_first
from probseg.report.sections.cases import case_views, worst_views
from probseg.report.sections.ceiling import ceiling_sentences, ceiling_views, place_rows
from probseg.report.sections.data import dataset_views
from probseg.report.sections.predicted_volumes import predicted_volumes
from probseg.report.sections.previews import previews
from probseg.report.sections.risk import MAP_FIGURES, risk_pictures, risk_views
from probseg.report.sections.summary import summarise
from probseg.report.sections.uncertainty import shares_of
from probseg.report.sections.volumes import COLUMNS as VOLUME_COLUMNS
from probseg.report.sections.volumes import volume_pictures, volume_views
from probseg.report.sections.worst import CaseFiles, candidates, shown_cases
from probseg.report.table import figure_text, interval_text, table
from probseg.report.viewer.payload import DEFAULT_MB, Payload, choose_cases
from probseg.report.viewer.source import VERSION, niivue_licence, niivue_source

__all__ = ["Page", "PageOptions", "build_report", "render", "write_page"]

_HERE = Path(__file__).parent
_FOREST = (
    ("ged_v", "GED (V), lower is better"),
    ("hm_iou", "HM-IoU, higher is better"),
    ("nll", "NLL in nats, lower is better"),
    ("ece", "ECE, lower is better"),
)
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_DOI = re.compile(r"(?:https?://doi\.org/|doi:\s?)(10\.\d{4,9}/[^\s<>&;,]*[^\s<>&;,.])")


@dataclass(frozen=True)
class PageOptions:
    """How much a page holds.

    Attributes:
        viewer: cases in the viewer, the worst first; 0 leaves the viewer out.
        viewer_mb: most MB that their volumes add.
        worst: cases shown as pictures, the worst first.
        command: what was typed, for the provenance; empty where nothing was.
    """

    viewer: int = 4
    viewer_mb: float = DEFAULT_MB
    worst: int = 6
    command: str = ""


@dataclass(frozen=True)
class Page:
    """A page that was written, the cases in its viewer, and what did not fit."""

    path: Path
    viewed: tuple[str, ...]
    messages: tuple[str, ...]


def build_report(folders: Sequence[str | Path], out: str | Path, options: PageOptions | None = None) -> Path:
    """Write the report as one HTML file that needs nothing else, not even a network.

    Args:
        folders: of ``probseg agreement``, ``evaluate``, ``predict`` and ``test``, folders with ``runs/`` inside, such
            as the demo's, and datasets, which give the scans.
        out: the file to write.
        options: how much it holds; None for the usual.

    Returns:
        ``out``.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE or E_SCHEMA where a folder is none of these; E_NOT_WRITABLE.
    """
    return write_page(gather_inputs(folders), out, options).path


def write_page(inputs: Inputs, out: str | Path, options: PageOptions | None = None) -> Page:
    """Write the page of what was read, and say what is in its viewer."""
    text, payload = render(inputs, options or PageOptions())
    path = Path(out)
    write_text(path, text)
    return Page(path, () if payload is None else payload.cases, () if payload is None else payload.messages)


def render(inputs: Inputs, options: PageOptions) -> tuple[str, Payload | None]:
    """The page as text, and what its viewer holds: of the runs the probabilistic U-Net first, the raters last."""
    ordered = sorted(inputs.all_runs, key=_place)
    titles = titles_of([*ordered])
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["citations"] = _citations
    environment.filters["minus"] = figure_text
    environment.filters["signs"] = lambda text: _MINUS.sub("\N{MINUS SIGN}", text)
    shown, payload = _cases_context(inputs, titles, options)
    context = {**_runs_context(ordered, titles), **_study_context(inputs, ordered, titles), **shown}
    scripts = _scripts(payload)
    text = environment.get_template("page.html").render(
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        scripts=scripts,
        script_hashes=" ".join(f"'sha256-{_hash(s)}'" for s in scripts.values()),
        gradients={"probability": colour_stops(PROBABILITY), "uncertainty": colour_stops(UNCERTAINTY)},
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        **context,
        **_provenance_context(inputs, ordered, titles, options),
    )
    return text, payload


def _scripts(payload: Payload | None) -> dict[str, Markup]:
    """Every script of the page as it stands there; the browser runs these and no other."""
    scripts = {"page": Markup((_HERE / "page.js").read_text(encoding="utf-8"))}
    if payload is not None and payload.cases:
        scripts["viewer"] = Markup((_HERE / "viewer" / "viewer.js").read_text(encoding="utf-8"))
        scripts["niivue"] = Markup(niivue_source())
    return scripts


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _cases_context(
    inputs: Inputs, titles: Mapping[str, str], options: PageOptions
) -> tuple[dict[str, Any], Payload | None]:
    """The table of cases, the worst of them as pictures and in the viewer."""
    view = case_table_view(inputs, titles)
    order, files = worst_first(view), CaseFiles(inputs)
    shown = list(shown_cases(files, order, options.worst))
    worst, scale = worst_views(shown, titles)
    payload = None
    if options.viewer > 0:
        payload = choose_cases(candidates(files, order, view), options.viewer, options.viewer_mb)
    return {
        "case_table": view if view.rows else None,
        "worst": worst,
        "worst_scale": scale,
        "previews": previews(inputs.predictions, options.worst),
        "pictured": {v.row: v.anchor for v in worst},
        "viewer": payload,
        "niivue_version": VERSION,
        "niivue_licence": niivue_licence(),
        "without_scans": not inputs.datasets,
    }, payload


def _runs_context(ordered: Sequence[RunResult], titles: Mapping[str, str]) -> dict[str, Any]:
    """The table of families, their calibration, and the cases that tests saved."""
    columns, rows, reasons = table(ordered, list(titles.values()))
    views, scale = case_views(ordered, titles)
    curves = [r for r in ordered if r.reliability is not None and len(r.reliability.count)]
    shown = [(m, h) for m, h in _FOREST if any(r.figure(m).defined for r in ordered)]
    return {
        "facts": _facts(ordered),
        "columns": columns,
        "rows": rows,
        "reasons": reasons,
        "bootstrap": _shared(ordered, "bootstrap"),
        "forest": Markup(forest_svg(ordered, titles, shown, _forest_text(ordered, titles, shown))) if shown else "",
        "views": views,
        "scale": scale,
        "unstable": any(not _stable(r) for r in ordered),
        "reliability": Markup(reliability_svg(curves, titles, _curves_text(curves, titles))) if curves else "",
        "calibrated": calibration_views(ordered, titles),
        "calibrated_headings": [heading for _, heading in CALIBRATED],
        "calibration_known": all("calibration" in r.summary for r in ordered if not r.is_raters),
        "without_curve": [titles[str(r.folder)] for r in ordered if r not in curves],
        "without_examples": [titles[str(r.folder)] for r in ordered if not r.examples and not r.is_raters],
    }


def _study_context(inputs: Inputs, ordered: Sequence[RunResult], titles: dict[str, str]) -> dict[str, Any]:
    """What folders of agreement, evaluation and prediction give."""
    sentences = [s for a in inputs.agreements for s in headline_sentences(a)]
    sentences += [s for a in inputs.agreements for s in ceiling_sentences(a)]
    sentences += summarise(ordered, titles) if ordered else []
    sentences += [s for e in inputs.evaluations for s in e.sentences]
    definitions: dict[str, str] = {}
    for agreement in inputs.agreements:
        definitions |= agreement.data.get("definitions") or {}
    return {
        "sentences": sentences,
        "tested": bool(inputs.runs),
        "datasets": dataset_views(inputs),
        "agreements": [agreement_view(a, k) for k, a in enumerate(inputs.agreements)],
        "ceilings": ceiling_views(inputs.agreements),
        "places": [(titles[str(e.run.folder)], place_rows(e)) for e in inputs.evaluations],
        "risk_pictures": risk_pictures(tuple(ordered), titles, tuple(inputs.evaluations)),
        "risks": risk_views(inputs.evaluations, titles),
        "risk_maps": [heading for _, heading in MAP_FIGURES],
        "volume_pictures": volume_pictures(inputs, titles),
        "fitted": fitted_views(inputs, titles),
        "predicted_volumes": predicted_volumes(inputs.predictions),
        "volumes": volume_views(inputs.evaluations, titles),
        "volume_columns": [heading for _, heading, _ in VOLUME_COLUMNS],
        "shares": shares_of(inputs.predictions),
        "definitions": definitions,
    }


def _provenance_context(
    inputs: Inputs, ordered: Sequence[RunResult], titles: dict[str, str], options: PageOptions
) -> dict[str, Any]:
    return {
        "provenance": provenance.run_notes(ordered, titles),
        "prediction_notes": provenance.prediction_notes(inputs.predictions),
        "digests": provenance.digests(inputs),
        "versions": provenance.versions_here(),
        "command": options.command,
        "bibtex": (_HERE / "templates" / "references.bib").read_text(encoding="utf-8").strip(),
    }


def _place(run: RunResult) -> tuple[bool, bool, bool, str]:
    """Sort key: the probabilistic U-Net, other families, the plain network, the raters."""
    return run.is_raters, run.is_deterministic, run.class_name != "ProbabilisticUNet", run.title


def _stable(run: RunResult) -> bool:
    """Whether a rater's name is the same person in every case; a run that does not say is not trusted to."""
    raters = (run.summary.get("dataset") or {}).get("raters")
    return isinstance(raters, Mapping) and raters.get("stable") is True


def _shared(runs: Sequence[RunResult], key: str) -> Any:
    """A summary entry if all runs that have it agree on it, else None."""
    values = {str(r.summary[key]): r.summary[key] for r in runs if r.summary.get(key) is not None}
    return next(iter(values.values())) if len(values) == 1 else None


def _facts(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    facts = [
        ("case measured", "cases measured", _shared(runs, "cases")),
        ("patient", "patients", _shared(runs, "patients")),
        ("rater a case, at most", "raters a case, at most", _shared(runs, "raters_max")),
        ("model", "models", sum(not r.is_raters for r in runs) or None),
    ]
    return [(one if value == 1 else many, str(value)) for one, many, value in facts if value is not None]


def _forest_text(runs: Sequence[RunResult], titles: Mapping[str, str], shown: Sequence[tuple[str, str]]) -> str:
    parts = []
    for metric, heading in shown:
        each = [
            f"{titles[str(r.folder)]} {figure_text(r.figure(metric).value)} ({interval_text(r.figure(metric))})"
            for r in runs
            if r.figure(metric).defined
        ]
        parts.append(f"{heading}: {', '.join(each)}")
    return "Figures with 95 % intervals. " + ". ".join(parts) + "."


def _curves_text(runs: Sequence[RunResult], titles: Mapping[str, str]) -> str:
    each = [
        words
        for r in runs
        for words in curves_text(
            titles[str(r.folder)], (("", r.reliability), (" before calibration", r.reliability_before))
        )
    ]
    return "Reliability curves. " + ". ".join(each) + "."


def _citations(text: str) -> Markup:
    """Escaped text whose DOIs are links."""
    return Markup(_DOI.sub(r'<a href="https://doi.org/\1">doi:\1</a>', str(escape(text))))
