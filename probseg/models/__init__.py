"""Families of models: each returns a `probseg.distribution.SegmentationDistribution` and is one file."""

from __future__ import annotations

from probseg.models.base import SegmentationModule
from probseg.models.curriculum import CentreFirst, Curriculum
from probseg.models.deterministic import Deterministic
from probseg.models.ensemble import Ensemble
from probseg.models.hierarchical_unet import HierarchicalUNet
from probseg.models.loading import load_model
from probseg.models.monte_carlo_dropout import MonteCarloDropout
from probseg.models.probabilistic_unet import ProbabilisticUNet
from probseg.models.rater_conditioned import RaterConditioned
from probseg.models.rater_confusion import RaterConfusion
from probseg.models.schedules import Constant, Cosine, MultiStep, Polynomial, Schedule
from probseg.models.snapshot_ensemble import SnapshotEnsemble
from probseg.models.stochastic_region import IntensityRegion, StochasticRegion
from probseg.models.stochastic_segmentation import StochasticSegmentation
from probseg.models.swag import SWAG
from probseg.models.targets import (
    AverageRaters,
    BalancedRater,
    MajorityVote,
    RandomRater,
    TargetStrategy,
    VirtualMask,
)
from probseg.models.test_time_augmentation import TestTimeAugmentation

__all__ = [
    "SWAG",
    "AverageRaters",
    "BalancedRater",
    "CentreFirst",
    "Constant",
    "Cosine",
    "Curriculum",
    "Deterministic",
    "Ensemble",
    "HierarchicalUNet",
    "IntensityRegion",
    "MajorityVote",
    "MonteCarloDropout",
    "MultiStep",
    "Polynomial",
    "ProbabilisticUNet",
    "RandomRater",
    "RaterConditioned",
    "RaterConfusion",
    "Schedule",
    "SegmentationModule",
    "SnapshotEnsemble",
    "StochasticRegion",
    "StochasticSegmentation",
    "TargetStrategy",
    "TestTimeAugmentation",
    "VirtualMask",
    "load_model",
]
