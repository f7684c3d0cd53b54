"""What a network with one answer minimises: losses over admissible sets, each a file, chosen by class path in YAML."""

from __future__ import annotations

from probseg.models.losses.base import SegmentationLoss, WeightedLoss
from probseg.models.losses.combined import CombinedLoss
from probseg.models.losses.cross_entropy import CrossEntropyLoss
from probseg.models.losses.dice import DiceLoss
from probseg.models.losses.focal import FocalLoss
from probseg.models.losses.soft_label import SoftLabelLoss

__all__ = [
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "SegmentationLoss",
    "SoftLabelLoss",
    "WeightedLoss",
]
