"""Hashes by which the image of a scan is known again, however it is stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry

__all__ = ["grid_sha256", "image_sha256"]


def image_sha256(image: NDArray) -> str:
    """Hash of the voxels, little-endian in C order, so that it does not depend on how they were stored."""
    little = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data.cast("B")).hexdigest()


def grid_sha256(geometry: Geometry, stored: Geometry | None) -> str:
    """Hash of where the voxels lie, and of the axes that they were stored along, which results are written in."""
    grids = [None if grid is None else asdict(grid) for grid in (geometry, stored)]
    return hashlib.sha256(json.dumps(grids, default=lambda v: v.item()).encode()).hexdigest()
