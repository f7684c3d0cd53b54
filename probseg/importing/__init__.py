"""Sources of several kinds become a dataset folder; a kind is a file here, and all end in `build.write_dataset`."""

from __future__ import annotations

from probseg.importing.build import SourceCase, SourceReading, write_dataset

__all__ = ["SourceCase", "SourceReading", "write_dataset"]
