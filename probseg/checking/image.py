"""An image in figures: where it lies, and a digest of its voxels that does not depend on how it is stored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from probseg.checking.finding import Finding
from probseg.io import read_image

__all__ = ["check_image"]

_PLANES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".npz", ".npy")


def check_image(path: Path, dimensions: int | None = None, series: str | None = None) -> Finding:
    """Read an image as every command does.

    ``facts`` has ``shape`` (slices, rows, columns), ``spacing_mm`` (the same order), ``origin_lps`` (centre of the
    first voxel), ``direction`` (3 x 3, column k along axis k of the array), ``hu_min``, ``hu_max``, ``dtype`` and
    ``sha256`` of the little-endian array in C order, all on the canonical grid: slices towards superior, rows towards
    posterior, columns towards left.
    """
    if dimensions is None:
        dimensions = 2 if path.name.lower().endswith(_PLANES) else 3
    array, geometry, _ = read_image(path, dimensions, series)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    low, high = little.min().item(), little.max().item()
    facts: dict[str, Any] = {
        "kind": "image",
        "shape": list(geometry.shape),
        "spacing_mm": None if geometry.spacing is None else list(geometry.spacing),
        "origin_lps": list(geometry.origin),
        "direction": [list(row) for row in geometry.direction],
        "hu_min": low,
        "hu_max": high,
        "dtype": str(array.dtype),
        "sha256": hashlib.sha256(little.data.cast("B")).hexdigest(),
    }
    spacing = "not known" if geometry.spacing is None else " x ".join(f"{s:.4g}" for s in geometry.spacing) + " mm"
    lines = [
        f"image     {' x '.join(str(n) for n in geometry.shape)} voxels of {array.dtype}",
        f"spacing   {spacing}",
        f"origin    {', '.join(f'{v:.4g}' for v in geometry.origin)} mm (LPS)",
        f"values    {low:g} to {high:g}",
        f"sha256    {facts['sha256']}",
    ]
    return Finding(facts, lines)
