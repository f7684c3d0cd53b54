"""Chest CT of patients that never lived, with opacities, scanners and raters of which everything is known."""

from __future__ import annotations

from probseg.data.synthetic.generate import SyntheticCase, generate
from probseg.data.synthetic.lesions import Lesion
from probseg.data.synthetic.patterns import LABELS, PATTERNS, WINDOW, Pattern
from probseg.data.synthetic.raters import RaterModel, default_raters, neighbour_confusion, rater_distribution
from probseg.data.synthetic.scanner import DEFAULT_SITES, SITES, Site
from probseg.data.synthetic.write import INFO, write

__all__ = [
    "DEFAULT_SITES",
    "INFO",
    "LABELS",
    "PATTERNS",
    "SITES",
    "WINDOW",
    "Lesion",
    "Pattern",
    "RaterModel",
    "Site",
    "SyntheticCase",
    "default_raters",
    "generate",
    "neighbour_confusion",
    "rater_distribution",
    "write",
]
