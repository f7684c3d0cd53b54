"""What ``probseg evaluate`` wrote, read back: the model's figures, the raters' in its place, rankings, promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.evaluation import RATERS
from probseg.report.reading import load_run
from probseg.report.results import Estimate, RunResult
from probseg.report.stored_agreement import estimate_of

__all__ = ["StoredEvaluation", "is_evaluation", "read_evaluation"]

_REPORT = "evaluation.json"


@dataclass(frozen=True, eq=False)
class StoredEvaluation:
    """One folder.

    Attributes:
        run: the model's figures over all cases, as of a tested run.
        data: ``evaluation.json``; undefined numbers are None.
        figures: ``(family, metric, class)`` to the figure over all cases.
    """

    run: RunResult
    data: Mapping[str, Any]
    figures: Mapping[tuple[str, str, str], Estimate]

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return str(self.data["dataset"]["name"])

    def of_model(self, metric: str, structure: str = "") -> Estimate:
        """A figure of the model; undefined where there is none."""
        return self._figure(self.run.family, metric, structure)

    def of_raters(self, metric: str, structure: str = "") -> Estimate:
        """The same with each rater in turn in the model's place."""
        return self._figure(RATERS, metric, structure)

    def _figure(self, family: str, metric: str, structure: str) -> Estimate:
        nothing = Estimate(float("nan"), float("nan"), float("nan"), 0)
        return self.figures.get((family, metric, structure), nothing)

    @property
    def structures(self) -> tuple[str, ...]:
        """Classes and groups that have figures of their own."""
        return tuple(dict.fromkeys(structure for _, _, structure in self.figures if structure))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the evaluation says of rankings and promises."""
        return tuple(str(s) for s in self.data.get("sentences") or ())


def is_evaluation(folder: Path) -> bool:
    """Whether ``probseg evaluate`` wrote this folder."""
    return (folder / _REPORT).is_file()


def read_evaluation(folder: str | Path) -> StoredEvaluation:
    """Read a folder that ``probseg evaluate`` wrote.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE or E_SCHEMA where a file is not what ``probseg evaluate`` writes.
    """
    root = Path(folder)
    path = root / _REPORT
    run = load_run(root)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        figures = {
            (str(f["family"]), str(f["metric"]), str(f["class"])): estimate_of(f)
            for f in data["figures"]
            if not f["site"]
        }
        data["dataset"]["name"]
    except (ValueError, UnicodeDecodeError) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is not what `probseg evaluate` writes: {error!r}") from error
    return StoredEvaluation(run, data, figures)
