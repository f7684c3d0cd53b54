"""Tested runs side by side, for a spreadsheet, a README and a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.results import RunResult, titles_of
from probseg.report.table import COLUMNS, HIGHER, LOWER, Column, figure_text

__all__ = ["ordered_by", "to_latex", "to_markdown", "write_leaderboard"]

_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "\\": r"\textbackslash{}"}


def _column(metric: str) -> Column:
    for column in COLUMNS:
        if column.metric == metric:
            return column
    raise ProbsegError(
        "E_SCHEMA", f"there is no figure '{metric}' to sort by; choose of {', '.join(c.metric for c in COLUMNS)}"
    )


def ordered_by(runs: Sequence[RunResult], metric: str) -> list[RunResult]:
    """The best first; runs without the figure and the raters themselves last.

    Raises:
        ProbsegError: E_SCHEMA where there is no such figure.
    """
    sign = -1 if _column(metric).better == HIGHER else 1

    def place(run: RunResult) -> tuple[bool, bool, float, str]:
        figure = run.figure(metric)
        return run.is_raters, not figure.defined, sign * figure.value if figure.defined else 0.0, run.title

    return sorted(runs, key=place)


def _shown(runs: Sequence[RunResult]) -> list[Column]:
    return [c for c in COLUMNS if any(r.figure(c.metric).defined for r in runs)]


def _best(runs: Sequence[RunResult], column: Column) -> str | None:
    """The best figure of a column as it is printed, so that equal ones are marked alike; None where nothing is best."""
    values = [r.figure(column.metric).value for r in runs if r.figure(column.metric).defined and not r.is_raters]
    if column.better not in (LOWER, HIGHER) or len(values) < 2:
        return None
    return figure_text(min(values) if column.better == LOWER else max(values))


def _grid(runs: Sequence[RunResult], bold: str, interval: str, missing: str) -> tuple[list[str], list[list[str]]]:
    columns, titles = _shown(runs), titles_of(runs)
    rows = []
    for run in runs:
        cells = [titles[str(run.folder)], missing if run.draws is None else str(run.draws)]
        for column in columns:
            figure = run.figure(column.metric)
            if not figure.defined:
                cells.append(missing)
                continue
            value = figure_text(figure.value)
            best = not run.is_raters and value == _best(runs, column)
            ends = interval.format(figure_text(figure.low), figure_text(figure.high)) if figure.has_interval else ""
            cells.append((bold.format(value) if best else value) + ends)
        rows.append(cells)
    return ["family", "N", *(c.heading for c in columns)], rows


def to_markdown(runs: Sequence[RunResult]) -> str:
    """A table whose best figures are bold, with 95 % intervals in brackets; N is the number of readings."""
    header, rows = _grid(runs, "**{}**", " [{}, {}]", "\N{EN DASH}")
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_latex(runs: Sequence[RunResult]) -> str:
    r"""The same as a ``tabular`` for the package booktabs; intervals are left to the CSV."""
    header, rows = _grid(runs, "<{}>", "", "--")
    lines = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in (header, *rows)]
    body = "\n".join(lines[1:]).replace("<", r"\textbf{").replace(">", "}").replace("\N{MINUS SIGN}", "$-$")
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def write_leaderboard(runs: Sequence[RunResult], out: Path, metric: str) -> list[RunResult]:
    """Write ``results.csv``, ``leaderboard.md`` and ``leaderboard.tex``; the best by ``metric`` first.

    Returns:
        The runs in the order written.
    """
    ordered = ordered_by(runs, metric)
    rows = [
        (run.family, name, f.value, f.low, f.high, f.n, run.folder.resolve().name)
        for run in ordered
        for name, f in run.figures.items()
    ]
    write_csv(out / "results.csv", ("family", "metric", "value", "low", "high", "n", "run"), rows)
    write_text(out / "leaderboard.md", to_markdown(ordered))
    write_text(out / "leaderboard.tex", to_latex(ordered))
    return ordered
