"""The page: results in, one self-contained HTML file out."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from probseg.io.atomic import write_text
from probseg.report.agreement import AgreementView, is_agreement, load_agreement
from probseg.report.calibration import CALIBRATED, calibration_views
from probseg.report.cases import case_views
from probseg.report.figures import colour_stops, forest_svg, reliability_svg
from probseg.report.plots import PROBABILITY, UNCERTAINTY
from probseg.report.reading import find_runs, load_run
from probseg.report.results import RunResult, titles_of
from probseg.report.summary import summarise
from probseg.report.table import figure_text, interval_text, table

__all__ = ["build_report", "render"]

_FOREST = (
    ("ged_v", "GED (V), lower is better"),
    ("hm_iou", "HM-IoU, higher is better"),
    ("nll", "NLL in nats, lower is better"),
    ("ece", "ECE, lower is better"),
)
_DOI = re.compile(r"(?:https?://doi\.org/|doi:\s?)(10\.\d{4,9}/[^\s<>&;,]*[^\s<>&;,.])")


@dataclass(frozen=True)
class Provenance:
    """What is recorded of how one run came about, as text."""

    title: str
    entries: tuple[tuple[str, str], ...]
    warm_start: str
    command: str
    versions: str


def build_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the report of tested runs as one HTML file that needs nothing else, not even a network.

    Args:
        folders: run folders of ``probseg test``, folders with ``runs/`` inside, such as the demo's, or folders of
            ``probseg agreement``.
        out: the file to write.

    Returns:
        ``out``.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE or E_SCHEMA where a folder is not a tested run; E_NOT_WRITABLE.
    """
    agreements = [load_agreement(Path(f)) for f in folders if is_agreement(Path(f))]
    runs = [load_run(folder) for folder in find_runs([f for f in folders if not is_agreement(Path(f))])]
    out = Path(out)
    write_text(out, render(runs, agreements))
    return out


def render(runs: Sequence[RunResult], agreements: Sequence[AgreementView] = ()) -> str:
    """The page as text: of the runs the probabilistic U-Net first, the raters last."""
    ordered = sorted(runs, key=_place)
    titles = titles_of(ordered)
    columns, rows, reasons = table(ordered, list(titles.values()))
    views, scale = case_views(ordered, titles)
    curves = [r for r in ordered if r.reliability is not None and len(r.reliability.count)]
    shown = [(m, h) for m, h in _FOREST if any(r.figure(m).defined for r in ordered)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["citations"] = _citations
    environment.filters["minus"] = figure_text
    return environment.get_template("template.html").render(
        style=Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8")),
        facts=_facts(ordered),
        datasets=_datasets(ordered, agreements),
        agreements=agreements,
        sentences=summarise(ordered, titles),
        columns=columns,
        rows=rows,
        reasons=reasons,
        bootstrap=_shared(ordered, "bootstrap"),
        forest=Markup(forest_svg(ordered, shown, _forest_text(ordered, titles, shown))) if shown else "",
        views=views,
        scale=scale,
        unstable=any(not _stable(r) for r in ordered),
        gradients={"probability": colour_stops(PROBABILITY), "uncertainty": colour_stops(UNCERTAINTY)},
        reliability=Markup(reliability_svg(curves, _curves_text(curves, titles))) if curves else "",
        calibrated=calibration_views(ordered, titles),
        calibrated_headings=[heading for _, heading in CALIBRATED],
        without_curve=[titles[str(r.folder)] for r in ordered if r not in curves],
        without_examples=[titles[str(r.folder)] for r in ordered if not r.examples and not r.is_raters],
        provenance=[_provenance(r, titles[str(r.folder)]) for r in ordered],
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )


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
    facts = [("test cases", "cases"), ("patients", "patients"), ("raters a case, at most", "raters_max")]
    known = [(label, _shared(runs, key)) for label, key in facts]
    models = sum(not r.is_raters for r in runs)
    return [(label, str(v)) for label, v in known if v is not None] + ([("families", str(models))] if models else [])


def _datasets(runs: Sequence[RunResult], agreements: Sequence[AgreementView]) -> list[dict[str, str]]:
    found = {a.dataset: a.note for a in agreements}
    for run in runs:
        data = run.summary.get("dataset")
        if isinstance(data, Mapping):
            found[str(data.get("name", ""))] = str(data.get("note", ""))
    return [{"name": name, "note": note} for name, note in found.items()]


def _provenance(run: RunResult, title: str) -> Provenance:
    summary = run.summary
    seconds = summary.get("train_seconds")
    fields = {
        "cases": summary.get("cases"),
        "patients": summary.get("patients"),
        "readings a case": summary.get("draws"),
        "seed": summary.get("seed"),
        "epochs": summary.get("epochs"),
        "training": None if seconds is None else f"{seconds:,.0f} s",
    }
    absent = "\N{EN DASH}"
    warm = summary.get("warm_start")
    if run.is_raters:
        start = "nothing was trained"
    elif "warm_start" not in summary:
        start = "not recorded"
    else:
        start = f"warm start: {_weights(str(warm))}" if warm else "from random weights"
    versions = summary.get("versions") or {}
    return Provenance(
        title,
        tuple((k, absent if v is None else str(v)) for k, v in fields.items()),
        start,
        str(summary.get("command") or "not recorded"),
        ", ".join(f"{k} {v}" for k, v in versions.items()) or "not recorded",
    )


def _weights(text: str) -> str:
    """Whose weights a checkpoint inside a run folder holds; any other words as they are."""
    path = Path(text)
    inside = path.suffix == ".ckpt" and path.parent.name == "checkpoints"
    return f"weights of the run '{path.parent.parent.name}' ({path.name})" if inside else text


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
        f"{titles[str(r.folder)]}{when}: "
        + ", ".join(f"{c:.2f} stated, {f:.2f} observed" for c, f in zip(curve.confidence, curve.frequency, strict=True))
        for r in runs
        for when, curve in (("", r.reliability), (" before calibration", r.reliability_before))
        if curve is not None
    ]
    return "Reliability curves. " + ". ".join(each) + "."


def _citations(text: str) -> Markup:
    """Escaped text whose DOIs are links."""
    return Markup(_DOI.sub(r'<a href="https://doi.org/\1">doi:\1</a>', str(escape(text))))
