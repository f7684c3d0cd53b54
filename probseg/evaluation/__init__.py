"""A model's predictions on disk against the raters of a dataset, without torch."""

from __future__ import annotations

from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.challenges import Challenge, Curvas, Qubiq, challenge_tables, measure_challenge
from probseg.evaluation.group import FigureGroup, FigureName
from probseg.evaluation.measure import CaseEvaluation, evaluate_case, measure_cases
from probseg.evaluation.report import EvaluationReport, gather
from probseg.evaluation.tables import RATERS, Finding

__all__ = [
    "RATERS",
    "CaseEvaluation",
    "Challenge",
    "Curvas",
    "EvaluatedCase",
    "EvaluationReport",
    "FigureGroup",
    "FigureName",
    "Finding",
    "Qubiq",
    "challenge_tables",
    "evaluate_case",
    "gather",
    "measure_cases",
    "measure_challenge",
]
