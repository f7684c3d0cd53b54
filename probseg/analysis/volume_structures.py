"""Which structures have a volume, and how much of each a draw and a rater find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.overlap import Counts
from probseg.analysis.volumes import structure_voxels
from probseg.labels import LabelSet

__all__ = ["VolumeStructures"]


@dataclass(frozen=True, eq=False)
class VolumeStructures:
    """Which structures are measured: every class and group of a label set, and the headline last.

    Attributes:
        labels: the label set.
        headline: the structure of the two headline figures, opacity IoU and error of opacity volume: ``opacity`` where
            the label set has a class or group of that name; else ``foreground``, every class but background.
        members: ``(structures + 1, classes)``, which leaf classes each consists of.
    """

    labels: LabelSet
    headline: str
    members: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: LabelSet) -> VolumeStructures:
        """Those of a label set."""
        members = [labels.members(name) for name in labels.structures]
        if "opacity" in labels.structures:
            return cls(labels, "opacity", np.array([*members, labels.members("opacity")]))
        return cls(labels, "foreground", np.array([*members, np.arange(labels.num_classes) > 0]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names for tables: of each structure, then an empty one for the headline."""
        return (*self.labels.structures, "")

    def of_draws(self, leaves: NDArray) -> NDArray[np.float64]:
        """Volumes of leaf classes ``(draws, classes)``, background included, to those of structures."""
        return np.asarray(leaves, dtype=np.float64) @ self.members.T

    def of_raters(self, masks: NDArray, rated: NDArray | None, voxel: float) -> NDArray[np.float64]:
        """Volume of each structure as each rater drew it, ``(raters, structures + 1)`` in the unit of ``voxel``.

        Args:
            masks: ``(raters, *space)`` dense labels.
            rated: ``(raters, *space)`` booleans, None for everywhere.
            voxel: volume of a voxel; 1 gives voxels.

        Returns:
            NaN as `structure_voxels` says: where a rater did not look at everything, or a label leaves it open.
        """
        membership = [self.labels.membership_of(inside) for inside in self.members]
        looked = np.broadcast_to(True if rated is None else rated, masks.shape)
        out = np.empty((len(masks), len(membership)))
        for k, (mask, seen) in enumerate(zip(masks, looked, strict=True)):
            counts = np.bincount(mask[seen].ravel(), minlength=len(self.labels.admissible))
            out[k] = [structure_voxels(counts, member, bool(seen.all())) for member in membership]
        return out * voxel

    def headline_overlap(self, mode: NDArray, masks: NDArray, rated: NDArray | None) -> Counts:
        """Voxels of the headline in the prediction and in each mask, ``(raters,)`` each: the union of its classes.

        Voxels that a rater did not rate, or whose label leaves the structure open, are left out. Counts of slices of a
        scan may be added; `probseg.analysis.overlap.iou` takes the sums.

        Args:
            mode: ``space`` leaf classes.
            masks: ``(raters, *space)`` dense labels.
            rated: ``(raters, *space)`` booleans, None for everywhere.
        """
        inside = self.members[-1]
        member = self.labels.membership_of(inside)[masks]
        known = (member != -1) if rated is None else (member != -1) & rated
        drawn, predicted = (member == 1) & known, inside[mode] & known
        counts = (
            x.reshape(len(masks), -1).sum(axis=1).astype(np.float64) for x in (drawn & predicted, predicted, drawn)
        )
        return Counts(*counts)
