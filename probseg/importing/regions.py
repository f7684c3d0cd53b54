"""Regions that a labelling tool names by label become one mask a rater; what every such tool has in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError, warn
from probseg.io.guard import check_size, file_size
from probseg.io.polygons import fill
from probseg.labels import LabelClass, LabelSet

__all__ = ["Overlaps", "Region", "box", "label_set", "load_json", "named", "outline"]


@dataclass(frozen=True)
class Region:
    """One label on the pixels ``mask`` (rows, columns) of one image or slice."""

    label: str
    mask: NDArray[np.bool_]


class Overlaps:
    """Paints regions in their order and counts the pixels on which a later one hides another label."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = values
        self.hidden = 0

    def paint(self, regions: Iterable[Region], mask: NDArray[np.uint16]) -> None:
        """Write the value of each region's label into ``mask``."""
        for region in regions:
            value = self.values[region.label]
            self.hidden += int(((mask != 0) & (mask != value) & region.mask).sum())
            mask[region.mask] = value

    def report(self) -> None:
        """W_OVERLAP where anything was hidden: a pixel has one label."""
        if self.hidden:
            warn(
                "W_OVERLAP", f"regions of different labels overlap on {self.hidden} pixels, where the later one counts"
            )


def outline(xy: Any, shape: Sequence[int], what: str) -> NDArray[np.bool_]:
    """The pixels whose centre lies inside a polygon of ``x, y`` measured from the corner of the first pixel.

    Args:
        xy: pairs, or one flat list that alternates. A line that crosses itself encloses what it goes round.
        shape: ``(rows, columns)``.
        what: names it in errors.

    Raises:
        ProbsegError: E_PARSE where these are no pairs of numbers.
    """
    try:
        points = np.asarray(xy, dtype=np.float64)
        points = points.reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise ProbsegError("E_PARSE", f"{what} has an outline that is no list of x, y") from error
    return fill([points[:, ::-1] - 0.5], shape, "nonzero")


def box(x: Any, y: Any, width: Any, height: Any, shape: Sequence[int], what: str) -> NDArray[np.bool_]:
    """The pixels whose centre lies in a box, corner and size measured from the corner of the first pixel."""
    try:
        left, top, right, bottom = float(x), float(y), float(x) + float(width), float(y) + float(height)
    except (TypeError, ValueError) as error:
        raise ProbsegError("E_PARSE", f"{what} has a box without numbers for x, y, width and height") from error
    return outline([(left, top), (right, top), (right, bottom), (left, bottom)], shape, what)


def label_set(names: Sequence[str], colours: Sequence[str | None], values: Sequence[int] | None = None) -> LabelSet:
    """Background and these classes; values 1, 2, ... in order unless given."""
    numbers = range(1, len(names) + 1) if values is None else values
    entries = zip(numbers, names, colours, strict=True)
    return LabelSet((LabelClass(0, "background"), *(LabelClass(v, n, c) for v, n, c in entries)))


def load_json(path: Path) -> Any:
    """A JSON file; E_PARSE where it is none, E_TOO_LARGE beyond the limit of a volume."""
    check_size(path, file_size(path))
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON{where}; export it again") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def named(pairs: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` arguments; E_USAGE where one is not of this form or a key comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (key and sign and value) or key in found:
            raise ProbsegError("E_USAGE", f"{option} takes pairs such as anna=a.json, each name once, not '{pair}'")
        found[key] = value
    return found
