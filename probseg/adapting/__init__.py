"""Trained models brought to a new site: with a few labelled cases of it, or with images alone."""

from __future__ import annotations

from probseg.adapting.choosing import build_method
from probseg.adapting.entropy_minimisation import EntropyMinimisation
from probseg.adapting.fine_tune import FineTune
from probseg.adapting.method import AdaptationMethod, Adapted
from probseg.adapting.normalisation_statistics import NormalisationStatistics
from probseg.adapting.recalibration import Recalibration
from probseg.adapting.site_data import SiteData, choose_cases

__all__ = [
    "AdaptationMethod",
    "Adapted",
    "EntropyMinimisation",
    "FineTune",
    "NormalisationStatistics",
    "Recalibration",
    "SiteData",
    "build_method",
    "choose_cases",
]
