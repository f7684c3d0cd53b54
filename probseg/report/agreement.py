"""Results of ``probseg agreement``, read back for the page: how far the raters differ from one another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.report.results import Estimate
from probseg.report.table import DASH, Cell, figure_text, interval_text

__all__ = ["AgreementView", "is_agreement", "load_agreement"]

_FIGURES = ("dice", "iou", "surface_distance_mean_mm", "surface_distance_95_mm")


@dataclass(frozen=True)
class AgreementView:
    """One data set's agreement, ready for the page.

    Attributes:
        dataset, note: name of the data set and what it says of itself.
        sentence: the overall figures in words.
        rows: a row a class or group: its name; Dice, IoU, mean and 95th-percentile surface distance in mm; pairs
            compared; pairs with one mask empty.
    """

    dataset: str
    note: str
    sentence: str
    rows: tuple[tuple[str, tuple[Cell, ...], int, int], ...]


def is_agreement(folder: Path) -> bool:
    """Whether ``probseg agreement`` wrote this folder."""
    return (folder / "agreement.json").is_file()


def load_agreement(folder: Path) -> AgreementView:
    """Read ``agreement.json``.

    Raises:
        ProbsegError: E_PARSE or E_SCHEMA where it is not what ``probseg agreement`` writes.
    """
    path = folder / "agreement.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(_row(name, figures) for name, figures in data["structures"].items())
        return AgreementView(str(data["dataset"]), str(data.get("note", "")), _sentence(data), rows)
    except (ValueError, UnicodeDecodeError) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what `probseg agreement` writes: {error!r}") from error


def _estimate(data: Mapping[str, Any]) -> Estimate:
    """A figure whose undefined numbers are null."""
    value, low, high = (nan if data[k] is None else float(data[k]) for k in ("value", "low", "high"))
    return Estimate(value, low, high, int(data["n"]))


def _row(name: str, figures: Mapping[str, Any]) -> tuple[str, tuple[Cell, ...], int, int]:
    cells = []
    for key in _FIGURES:
        estimate, digits = _estimate(figures[key]), 2 if key.endswith("_mm") else 3
        known = Cell(figure_text(estimate.value, digits), interval_text(estimate, digits)) if estimate.defined else None
        cells.append(known or Cell(DASH))
    return name, tuple(cells), int(figures["pairs"]), int(figures["one_empty"])


def _sentence(data: Mapping[str, Any]) -> str:
    share, entropy = _estimate(data["complete_agreement"]), _estimate(data["rater_entropy"])
    start = f"{data['cases']} cases of {data['patients']} patients, at most {data['raters_max']} raters a case."
    if not share.defined:
        return f"{start} No case has two raters and something drawn, so agreement is undefined."
    percent = Estimate(100 * share.value, 100 * share.low, 100 * share.high, share.n)
    return (
        f"{start} Of the voxels that any rater drew, all raters agree on {_words(percent, 1, ' %')}; the entropy of "
        f"their vote there is {_words(entropy, 3, ' nats')}."
    )


def _words(estimate: Estimate, digits: int, unit: str = "") -> str:
    interval = interval_text(estimate, digits)
    shown = figure_text(estimate.value, digits) + unit
    return f"{shown} (95\N{NO-BREAK SPACE}% interval {interval})" if interval else shown
