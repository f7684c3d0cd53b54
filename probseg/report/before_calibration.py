"""An evaluation of calibrated predictions meets that of the same model without its calibrator: before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from probseg.report.results import RunResult
from probseg.report.stored_evaluation import StoredEvaluation

__all__ = ["with_before"]


def with_before(evaluations: Sequence[StoredEvaluation]) -> tuple[StoredEvaluation, ...]:
    """The same evaluations; a calibrated one knows what was before where that was evaluated as well.

    That is an evaluation of predictions by the same checkpoint with as many draws, of the same cases of the same
    dataset, predicted with ``--calibration none``.
    """
    plain = [e for e in evaluations if e.run.summary.get("calibration") is None and _terms(e) is not None]
    found = []
    for one in evaluations:
        other = next((p for p in plain if _terms(p) == _terms(one)), None)
        calibrated = bool(one.run.calibration_method) and other is not None
        found.append(replace(one, run=_both(one.run, other.run)) if calibrated and other is not None else one)
    return tuple(found)


def _terms(evaluation: StoredEvaluation) -> tuple[Any, ...] | None:
    """What must be the same for two evaluations to differ by calibration alone; None where it is not recorded."""
    maker, cases = evaluation.data.get("made_by"), evaluation.run.cases
    if not isinstance(maker, dict) or not maker.get("checkpoint_sha256") or cases is None:
        return None
    who = tuple(maker.get(name) for name in ("checkpoint_sha256", "draws", "rater"))
    return (*who, evaluation.dataset, tuple(sorted(cases.case_ids)))


def _both(run: RunResult, before: RunResult) -> RunResult:
    figures = {f"{name}_uncalibrated": figure for name, figure in before.figures.items()}
    return replace(run, figures={**figures, **run.figures}, reliability_before=before.reliability)
