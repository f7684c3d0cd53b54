"""Who made an object and from what: equipment, algorithm, and identifiers that follow from both.

An object of the same input, checkpoint and settings is the same object, so it has the same identifiers and the same
bytes whenever and however often it is made. That is why nothing here reads the clock or draws a number.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import highdicom as hd
from pydicom.sr.codedict import codes

__all__ = ["Maker", "SeriesLabel", "derived_uid", "quietly"]

_NAME = "probseg"


def derived_uid(*parts: str) -> str:
    """An identifier below 2.25 (PS3.5, B.2), which needs no registered root, that follows from ``parts``."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"


@dataclass(frozen=True)
class SeriesLabel:
    """How one object's series is called: each object is a series of its own.

    Attributes:
        key: of the object, a part of its identifiers.
        offset: added to a thousand times the number of the source series.
        description: SeriesDescription, at most 64 characters.
        content: ContentLabel, at most 16 capitals, digits and underscores.
    """

    key: str
    offset: int
    description: str
    content: str


@dataclass(frozen=True)
class Maker:
    """What made the objects of one scan.

    Attributes:
        version: of this package.
        model: name of the family.
        checkpoint_sha256: of the file of the weights.
        identity: everything that decides the content, as text; identifiers follow from it.
        parameters: settings, for the algorithm's identification.
    """

    version: str
    model: str
    checkpoint_sha256: str
    identity: str
    parameters: tuple[tuple[str, str], ...] = ()

    def uid(self, *parts: str) -> str:
        """An identifier that follows from the identity and ``parts``."""
        return derived_uid(self.identity, *parts)

    @property
    def algorithm_version(self) -> str:
        """Version of the package and of the weights."""
        return f"{self.version} {self.checkpoint_sha256[:16]}"

    def algorithm(self) -> hd.AlgorithmIdentificationSequence:
        """Identification of the algorithm, for segments."""
        return hd.AlgorithmIdentificationSequence(
            f"{_NAME} {self.model}",
            codes.DCM.ArtificialIntelligence,
            self.algorithm_version,
            parameters={"checkpoint_sha256": self.checkpoint_sha256, **dict(self.parameters)},
        )

    def equipment(self) -> dict[str, Any]:
        """Arguments of every highdicom object of the General Equipment module."""
        return {
            "manufacturer": _NAME,
            "manufacturer_model_name": f"{_NAME} {self.model}"[:64],
            "software_versions": (self.version, f"checkpoint {self.checkpoint_sha256[:40]}"),
            "device_serial_number": self.checkpoint_sha256[:64],
        }

    def series(self, label: SeriesLabel, source_number: int) -> dict[str, Any]:
        """Arguments of every highdicom object that say which series and which instance it is."""
        return {
            "series_instance_uid": self.uid(label.key, "series"),
            "series_number": source_number * 1000 + label.offset,
            "sop_instance_uid": self.uid(label.key, "instance"),
            "instance_number": 1,
            "series_description": label.description,
        }


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what pydicom and highdicom remark on values away from the terminal: their remarks quote headers."""
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
