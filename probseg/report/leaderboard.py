"""Tested runs side by side, for a spreadsheet, a README and a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from probseg.analysis.tables import Table
from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.markdown import figure_cell, markdown_table
from probseg.report.results import Estimate, RunResult, titles_of
from probseg.report.table import COLUMNS, DASH, HIGHER, LOWER, Column, figure_text

__all__ = ["figures_table", "ordered_by", "to_latex", "to_markdown", "write_leaderboard"]

Row = list[str]

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


def _grid(runs: Sequence[RunResult], cell: Callable[[Estimate, bool], str], missing: str) -> tuple[Row, list[Row]]:
    """Header and rows as text; ``cell`` makes a defined figure and whether it is the best of its column to text."""
    columns, titles = _shown(runs), titles_of(runs)
    rows = []
    for run in runs:
        cells = [titles[str(run.folder)], missing if run.draws is None else str(run.draws)]
        for column in columns:
            figure = run.figure(column.metric)
            best = not run.is_raters and figure_text(figure.value) == _best(runs, column)
            cells.append(cell(figure, best) if figure.defined else missing)
        rows.append(cells)
    return ["family", "N", *(c.heading for c in columns)], rows


def to_markdown(runs: Sequence[RunResult]) -> str:
    """A table whose best figures are bold, with 95 % intervals in brackets; N is the number of readings."""
    return markdown_table(*_grid(runs, lambda figure, best: figure_cell(figure, best=best), DASH))


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_latex(runs: Sequence[RunResult]) -> str:
    r"""The same as a ``tabular`` for the package booktabs; intervals are left to the CSV."""
    header, rows = _grid(runs, lambda f, best: f"<{figure_text(f.value)}>" if best else figure_text(f.value), "--")
    lines = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in (header, *rows)]
    body = "\n".join(lines[1:]).replace("<", r"\textbf{").replace(">", "}").replace("\N{MINUS SIGN}", "$-$")
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def figures_table(runs: Sequence[RunResult]) -> Table:
    """``results.csv``: a row a run and figure, in the order of the runs."""
    rows: list[tuple[object, ...]] = [
        (run.family, name, f.value, f.low, f.high, f.n, run.folder.resolve().name)
        for run in runs
        for name, f in run.figures.items()
    ]
    return Table(("family", "metric", "value", "low", "high", "n", "run"), rows)


def write_leaderboard(runs: Sequence[RunResult], out: Path, metric: str) -> list[RunResult]:
    """Write ``results.csv``, ``leaderboard.md`` and ``leaderboard.tex``; the best by ``metric`` first.

    Returns:
        The runs in the order written.
    """
    ordered = ordered_by(runs, metric)
    table = figures_table(ordered)
    write_csv(out / "results.csv", table.columns, table.rows)
    write_text(out / "leaderboard.md", to_markdown(ordered))
    write_text(out / "leaderboard.tex", to_latex(ordered))
    return ordered
