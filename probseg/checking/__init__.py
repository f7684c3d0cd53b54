"""Is this image, dataset, checkpoint or config sound? One file a kind, each imported when it is needed."""

from __future__ import annotations

from probseg.checking.finding import Finding
from probseg.checking.kinds import check

__all__ = ["Finding", "check"]
