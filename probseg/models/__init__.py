"""Families of models: each returns a `probseg.distribution.SegmentationDistribution` and is one file."""

from __future__ import annotations

from probseg.models.base import SegmentationModule
from probseg.models.deterministic import Deterministic
from probseg.models.ensemble import Ensemble
from probseg.models.loading import load_model
from probseg.models.monte_carlo_dropout import MonteCarloDropout
from probseg.models.probabilistic_unet import ProbabilisticUNet
from probseg.models.targets import AverageRaters, MajorityVote, RandomRater, TargetStrategy

__all__ = [
    "AverageRaters",
    "Deterministic",
    "Ensemble",
    "MajorityVote",
    "MonteCarloDropout",
    "ProbabilisticUNet",
    "RandomRater",
    "SegmentationModule",
    "TargetStrategy",
    "load_model",
]
