"""What kind of disagreement: another class, a finding that the other did not see, or another outline.

Each voxel at which two label maps contradict each other is exactly one of

- *class*: both drew something there, and not the same;
- *presence*: one drew, the other did not, and nothing of the connected finding was drawn by the other;
- *extent*: the rest, such as the rim of a finding that both drew.

The three sum to the voxels that differ. A finding is a connected component of one rater's foreground, of whatever
classes, neighbours by corner included; it is seen by the other if they share a voxel. Labels that leave the question
open (a group against one of its classes, unknown, not rated) contradict nothing, and such voxels are left out of the
pair as if nobody had looked at them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.analysis.patterns import DrawnPatterns, looked_up, pattern_boxes
from probseg.analysis.region import union_box
from probseg.labels import LabelSet

__all__ = ["KINDS", "Findings", "contradictions", "foreground_membership"]

KINDS = ("class", "presence", "extent")


def foreground_membership(labels: LabelSet) -> NDArray[np.int8]:
    """``(labels + 1,)``: 1 where a label certainly is foreground, 0 background, -1 where open; not rated comes last."""
    background, others = labels.admissible[:, 0], labels.admissible[:, 1:].any(axis=1)
    return np.append(np.where(background & others, -1, others), -1).astype(np.int8)


def contradictions(a: NDArray[np.intp], b: NDArray[np.intp], labels: LabelSet) -> NDArray[np.bool_]:
    """Where no leaf class is admissible to both of two labels; a label beyond the label set contradicts nothing."""
    admissible = np.concatenate([labels.admissible, np.ones((1, labels.num_classes), dtype=bool)])
    return ~(admissible[a] & admissible[b]).any(axis=-1)


class _Table(NamedTuple):
    """Voxels of each finding by combination of labels, one row a (finding, combination) that occurs."""

    finding: NDArray[np.intp]
    combination: NDArray[np.intp]
    voxels: NDArray[np.intp]


class Findings:
    """The findings of every rater of a case, looked for once where nothing is left out of a pair.

    Args:
        found: label combinations of the case.
        labels: the label set.
    """

    def __init__(self, found: DrawnPatterns, labels: LabelSet) -> None:
        self._found, self._labels = found, labels
        self._drawn = foreground_membership(labels)[found.labels]  # (parties, combinations)
        self._boxes = pattern_boxes(found.which, len(found.voxels))
        self._whole: dict[int, _Table] = {}

    def kinds(self, i: int, j: int) -> NDArray[np.intp]:
        """``(3, combinations)``: voxels of each combination at which i and j contradict each other, by `KINDS`."""
        differ = contradictions(self._found.labels[i], self._found.labels[j], self._labels)
        out = np.zeros((3, len(differ)), dtype=np.intp)
        both = differ & (self._drawn[i] == 1) & (self._drawn[j] == 1)
        out[0, both] = self._found.voxels[both]
        for k, other in ((i, j), (j, i)):
            alone = differ & (self._drawn[k] == 1) & (self._drawn[other] == 0)
            if not alone.any():
                continue
            table = self._table(k, other)
            # A finding is seen where any of its combinations has something drawn by the other as well.
            seen = np.zeros(int(table.finding.max(initial=-1)) + 1, dtype=bool)
            seen[table.finding[self._drawn[other, table.combination] == 1]] = True
            unseen = ~seen[table.finding] & alone[table.combination]
            out[1] += np.bincount(table.combination[unseen], table.voxels[unseen], len(differ)).astype(np.intp)
        out[2, differ] = self._found.voxels[differ] - out[0, differ] - out[1, differ]
        return out

    def _table(self, k: int, other: int) -> _Table:
        """Findings of k; cut to where the other says whether there is anything."""
        inside, hidden = self._drawn[k] == 1, self._drawn[other] == -1
        if (inside & hidden).any():
            return self._look(inside & ~hidden)
        if k not in self._whole:
            self._whole[k] = self._look(inside)
        return self._whole[k]

    def _look(self, chosen: NDArray[np.bool_]) -> _Table:
        box = union_box(b for b, c in zip(self._boxes, chosen, strict=True) if c)
        assert box is not None  # something is chosen
        which = self._found.which[box]
        drawn = looked_up(chosen, which)
        components, n = ndimage.label(drawn, np.ones((3,) * drawn.ndim))
        size = len(chosen)
        keys = (components[drawn].astype(np.intp) - 1) * size + which[drawn]
        if n * size <= 4 * len(keys) + (1 << 16):
            counts = np.bincount(keys)
            present = np.flatnonzero(counts)
            counts = counts[present]
        else:
            present, counts = np.unique(keys, return_counts=True)
        return _Table(present // size, present % size, counts)
