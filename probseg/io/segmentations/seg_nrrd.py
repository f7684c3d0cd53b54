"""3D Slicer's ``.seg.nrrd``: labels in one layer or several, and a name and a label value for each segment.

Fields: ``SegmentN_Name``, ``SegmentN_LabelValue`` and ``SegmentN_Layer``
(https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html). Files of before Slicer 4.11 have a
layer a segment and neither of the last two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.guard import check_size
from probseg.io.nrrd import read_layers
from probseg.io.placement import locate
from probseg.io.segmentations.segment import Segment

__all__ = ["read"]


def read(path: Path, geometry: Geometry) -> list[Segment]:
    """The segments of a ``.seg.nrrd``, on the grid of the image; a file cropped to its segments is put in its place.

    Raises:
        ProbsegError: the codes of `probseg.io.nrrd.read_layers`; E_NO_LABELS without segments; E_UNKNOWN_LABEL where a
            layer holds a value that no segment has; E_SCHEMA where segments share a value or name no layer;
            E_DTYPE, E_AFFINE_MISMATCH, E_TOO_LARGE.
    """
    layers, stored, fields = read_layers(path)
    if layers.dtype.kind not in "iu":
        raise ProbsegError("E_DTYPE", f"'{path}' must hold whole numbers to be a segmentation")
    told = _told(fields, len(layers), path)
    check_size(path, len(told) * int(np.prod(geometry.shape)))
    shape = (stored.shape[0], stored.shape[1], stored.shape[2])
    place = locate(stored.affine, shape, geometry, path)
    for k, layer in enumerate(layers):
        _check_values(layer, {value for _, value, on in told if on == k}, path)
    segments = []
    for name, value, on in told:
        mask = np.zeros(geometry.shape, dtype=bool)
        mask[place.target] = place.turn(layers[on] == value)
        segments.append(Segment(name, value, mask))
    return segments


def _told(fields: Mapping[str, Any], layers: int, path: Path) -> list[tuple[str, int, int]]:
    """Name, label value and layer of each segment, in the order of their numbers."""
    numbers = sorted(int(m[1]) for key in fields if (m := re.fullmatch(r"Segment(\d{1,9})_(?:ID|Name)", key)))
    numbers = list(dict.fromkeys(numbers))
    if not numbers:
        raise ProbsegError("E_NO_LABELS", f"'{path}' names no segment; save it from Slicer as a segmentation")
    told: list[tuple[str, int, int]] = []
    for place, n in enumerate(numbers):
        name = str(fields.get(f"Segment{n}_Name", fields.get(f"Segment{n}_ID")))
        value = _whole(fields.get(f"Segment{n}_LabelValue", "1"), path)
        layer = _whole(fields.get(f"Segment{n}_Layer", str(place if layers > 1 else 0)), path)
        if layer >= layers or value < 1:
            raise ProbsegError(
                "E_SCHEMA", f"segment '{name}' of '{path}' has label {value} in layer {layer}, of {layers} layers"
            )
        rival = next((other for other, v, on in told if (v, on) == (value, layer)), None)
        if rival is not None:
            raise ProbsegError("E_SCHEMA", f"segments '{rival}' and '{name}' of '{path}' have one label, {value}")
        told.append((name, value, layer))
    return told


def _whole(text: Any, path: Path) -> int:
    if not re.fullmatch(r"\d{1,9}", str(text)):
        raise ProbsegError("E_SCHEMA", f"'{path}' must number the labels and layers of its segments; save it anew")
    return int(text)


def _check_values(layer: NDArray, known: set[int], path: Path) -> None:
    strange = sorted(set(np.unique(layer).tolist()) - known - {0})
    if strange:
        raise ProbsegError("E_UNKNOWN_LABEL", f"'{path}' holds the label {strange[0]}, which none of its segments has")
