"""``metrics.csv``: a row whenever something was measured, on disk at once, and cut back where a training goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from probseg.errors import ProbsegError, warn
from probseg.io.atomic import write_text

__all__ = ["MetricsTable"]


class MetricsTable(Logger):
    """Writes ``metrics.csv`` of a run folder; columns are sorted, and a new one is added to the rows before.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.path = run / "metrics.csv"
        self.rows = 0
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """None of its own."""
        return ""

    @property
    def version(self) -> str:
        """None of its own."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def keep(self, rows: int) -> None:
        """Start with the first ``rows`` rows of the file that is there; 0 removes it."""
        old: list[dict[str, str]] = []
        if rows and self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                old = [row for row, _ in zip(csv.DictReader(file), range(rows), strict=False)]
            if len(old) < rows:
                warn("W_METRICS", f"'{self.path}' has lost {rows - len(old)} rows that the checkpoint knows of")
        self._columns = sorted({name for row in old for name, value in row.items() if value})
        self.rows = len(old)
        if old:
            self._write(old)
        else:
            self.path.unlink(missing_ok=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        row = {name: str(float(value)) for name, value in metrics.items()}
        row |= {"step": str(self.rows if step is None else step)}
        if "epoch" in row:
            row["epoch"] = str(int(metrics["epoch"]))
        if set(row) <= set(self._columns) and self.path.is_file():
            self._append(self._text([row]))
        else:
            old: list[dict[str, str]] = []
            if self.path.is_file():
                with self.path.open(encoding="utf-8", newline="") as file:
                    old = list(csv.DictReader(file))
            self._columns = sorted({*self._columns, *row})
            self._write([*old, row])
        self.rows += 1

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They stand in ``config.yaml``."""

    def _text(self, rows: Iterable[Mapping[str, str]], header: bool = False) -> str:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, self._columns, restval="", extrasaction="ignore")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    def _write(self, rows: Iterable[Mapping[str, str]]) -> None:
        write_text(self.path, self._text(rows, header=True))

    def _append(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise ProbsegError(
                "E_NOT_WRITABLE", f"'{self.path}' cannot be written: {error.strerror or error}"
            ) from error
