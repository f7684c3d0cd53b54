"""What a latent-variable family minimises: bounds on the likelihood of a mask, each a file, chosen by class path."""

from __future__ import annotations

from probseg.models.bounds.base import Evidence, LatentBound
from probseg.models.bounds.evidence import EvidenceBound
from probseg.models.bounds.geco import Geco
from probseg.models.bounds.importance import ImportanceWeightedBound

__all__ = ["Evidence", "EvidenceBound", "Geco", "ImportanceWeightedBound", "LatentBound"]
