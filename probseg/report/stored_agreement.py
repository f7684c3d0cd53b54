"""What ``probseg agreement`` wrote, read back: the same figures that pictures draw of a study just made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probseg.analysis.bootstrap import Interval
from probseg.analysis.case_agreement import PREDICTION
from probseg.analysis.ceiling import ANYBODY, Ceiling
from probseg.analysis.rater_figures import ConfusionCell
from probseg.errors import ProbsegError
from probseg.report.agreement_figures import AgreementFigures, PairDice
from probseg.report.csv_rows import read_number, read_rows
from probseg.report.results import CaseTable, Estimate

__all__ = ["StoredAgreement", "estimate_of", "is_agreement", "read_agreement"]

_REPORT = "agreement.json"
_MEASURES = ("volume_ml", "percent_of_lung")
_NAMES = ("case_id", "patient_id", "site")


@dataclass(frozen=True, eq=False)
class StoredAgreement:
    """One folder.

    Attributes:
        folder: where.
        data: ``agreement.json``; undefined numbers are None.
        figures: what pictures are drawn from.
        cases: ``cases.csv``; None where it is not there.
        sites: case id to site.
    """

    folder: Path
    data: Mapping[str, Any]
    figures: AgreementFigures
    cases: CaseTable | None
    sites: Mapping[str, str]

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return str(self.data["dataset"])

    @property
    def structures(self) -> tuple[str, ...]:
        """Classes and groups, in the order of the label set."""
        return tuple(self.data["structures"])

    @property
    def headline(self) -> str:
        """The structure to show where there is room for one: opacity, else the first that raters drew and agree on."""
        if "opacity" in self.structures:
            return "opacity"
        defined = [s for s in self.structures if estimate_of(self.data["structures"][s]["dice"]).defined]
        return (defined or list(self.structures))[0]


def is_agreement(folder: Path) -> bool:
    """Whether ``probseg agreement`` wrote this folder."""
    return (folder / _REPORT).is_file()


def estimate_of(data: Mapping[str, Any]) -> Estimate:
    """A figure whose undefined numbers are null."""
    value, low, high = (math.nan if data[k] is None else float(data[k]) for k in ("value", "low", "high"))
    return Estimate(value, low, high, int(data["n"]))


def read_agreement(folder: str | Path) -> StoredAgreement:
    """Read a folder that ``probseg agreement`` wrote.

    Raises:
        ProbsegError: E_PARSE or E_SCHEMA where a file is not what ``probseg agreement`` writes.
    """
    root = Path(folder)
    path = root / _REPORT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        for key in ("dataset", "cases", "patients", "raters_max", "structures", "complete_agreement", "rater_entropy"):
            data[key]
        figures = _figures(root, data)
    except (ValueError, UnicodeDecodeError) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what `probseg agreement` writes: {error!r}") from error
    cases, sites = _cases(root / "cases.csv")
    return StoredAgreement(root, data, figures, cases, sites)


def _figures(root: Path, data: Mapping[str, Any]) -> AgreementFigures:
    confusion: dict[str, list[ConfusionCell]] = {}
    for cell in data.get("raters_confusion") or ():
        truth, is_class, called = (str(cell[k]) for k in ("truth", "is_class", "called"))
        found = ConfusionCell(truth, is_class, called, _interval(cell["share"]))
        confusion.setdefault(str(cell["rater"]), []).append(found)
    classes = tuple(str(name) for name in (data.get("confusion") or {}).get("labels") or ())
    names, parties, structures, volumes = _volumes(root / "volumes.csv")
    pairs = _pairs(root / "pairwise.csv")
    raters = {r for p in pairs for r in (p.rater_a, p.rater_b)} - {PREDICTION}
    ceiling = (_ceiling(c) for c in data.get("ceiling") or ())
    return AgreementFigures(
        data.get("raters_refused"),
        classes,
        tuple(sorted(raters or set(data.get("rater_names") or ()))),
        pairs,
        {rater: tuple(cells) for rater, cells in confusion.items()},
        names,
        parties,
        structures,
        volumes,
        tuple(c for c in ceiling if c.held_out == ANYBODY),
    )


def _interval(data: Mapping[str, Any]) -> Interval:
    found = estimate_of(data)
    return Interval(found.value, found.low, found.high, found.n)


def _ceiling(data: Mapping[str, Any]) -> Ceiling:
    return Ceiling(
        str(data["figure"]),
        str(data["structure"]),
        str(data["held_out"]),
        data["better"],
        _interval(data["raters"]),
        _interval(data["model"]),
        _interval(data["difference"]),
        None if data.get("williams") is None else _interval(data["williams"]),
        data.get("margin"),
        data.get("verdict"),
    )


def _pairs(path: Path) -> tuple[PairDice, ...]:
    if not path.is_file():
        return ()
    rows = read_rows(path, ("case_id", "rater_a", "rater_b", "class", "dice"))
    return tuple(
        PairDice(r["case_id"], r["rater_a"], r["rater_b"], r["class"], read_number(r["dice"], path)) for r in rows
    )


def _volumes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Case ids, parties, structures, and ``(cases, parties, structures)`` of each measure that is known at all."""
    if not path.is_file():
        return (), (), (), {}
    rows = read_rows(path, ("case_id", "rater", "class"))
    cases, parties, structures = (tuple(dict.fromkeys(r[k] for r in rows)) for k in ("case_id", "rater", "class"))
    parties = (*sorted(p for p in parties if p != PREDICTION), *(p for p in parties if p == PREDICTION))
    places = [{name: k for k, name in enumerate(names)} for names in (cases, parties, structures)]
    found = {}
    for measure in _MEASURES:
        table = np.full((len(cases), len(parties), len(structures)), np.nan)
        for r in rows:
            where = tuple(place[r[k]] for place, k in zip(places, ("case_id", "rater", "class"), strict=True))
            table[where] = read_number(r.get(measure) or "", path)
        if not np.isnan(table).all():
            found[measure] = table
    return cases, parties, structures, found


def _cases(path: Path) -> tuple[CaseTable | None, dict[str, str]]:
    if not path.is_file():
        return None, {}
    rows = read_rows(path, _NAMES)
    metrics = [c for c in (rows[0] if rows else ()) if c not in _NAMES]
    table = CaseTable(
        tuple(r["case_id"] for r in rows),
        tuple(r["patient_id"] for r in rows),
        {m: np.array([read_number(r[m], path) for r in rows]) for m in metrics},
    )
    return table, {r["case_id"]: r["site"] for r in rows}
