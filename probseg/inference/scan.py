"""One scan to its maps, readings and volumes; what a network says is reduced before the next part is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from probseg.case import Case
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.inference.sliding import Predict, Slab, slice_by_slice, sliding_window
from probseg.inference.volumes import StructureVolume, structure_volumes
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.labels import LabelSet
from probseg.models import SegmentationModule

__all__ = ["ScanPrediction", "predict_scan", "space_axes"]


@dataclass(frozen=True, eq=False)
class ScanPrediction:
    """What is kept of a scan's prediction, on the canonical grid of its case.

    Attributes:
        case: the scan.
        labels: the label set of the model.
        mean: ``(classes, *space)`` float32 probabilities.
        mode: ``space`` uint8, the most probable class of the mean as dense labels.
        entropy, epistemic, ambiguity, noise: ``space`` float32, nats.
        readings: ``(readings, *space)`` uint8 dense labels of some of the draws, spread evenly over them; may be none.
        draw_counts: ``(draws, classes)`` voxels of each class in the reading of each draw.
        draw_expected: ``(draws, classes)`` sum of each class's probability under each draw.
    """

    case: Case
    labels: LabelSet
    mean: NDArray[np.float32]
    mode: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    epistemic: NDArray[np.float32]
    ambiguity: NDArray[np.float32]
    noise: NDArray[np.float32]
    readings: NDArray[np.uint8]
    draw_counts: NDArray[np.int64]
    draw_expected: NDArray[np.float64]

    @property
    def volumes(self) -> tuple[StructureVolume, ...]:
        """Volumes of every foreground class and group with their draws."""
        return structure_volumes(
            self.labels,
            self.draw_expected,
            self.draw_counts,
            np.bincount(self.mode.ravel(), minlength=self.labels.num_classes),
            self.case.geometry.voxel_volume_ml,
        )

    @property
    def volumes_ml(self) -> NDArray[np.float64]:
        """``(draws, structures)`` mL, the volumes of the draws in the order of ``labels.structures``."""
        return np.stack([v.draws_ml for v in self.volumes], axis=1)


def space_axes(model: nn.Module) -> int:
    """2 or 3: how many axes of space the model's network takes, told by its first convolution."""
    first = next((m for m in model.modules() if isinstance(m, _ConvNd)), None)
    if first is None:
        raise ProbsegError("E_SCHEMA", "the network has no convolution, so whether it is 2-D or 3-D cannot be told")
    return first.weight.ndim - 2


def predict_scan(
    model: SegmentationModule,
    case: Case,
    draws: Draws,
    batch_size: int = 2,
    readings: int = 0,
    window: Sequence[int] = (32, 128, 128),
    overlap: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
) -> ScanPrediction:
    """Predict one scan: a 2-D network slice by slice, a 3-D network by overlapping windows, without autocast.

    Draw k is the same function in every slice and window, so what a draw finds in them adds up to its volume.
    Logits exist for one batch at a time only.

    Args:
        model: in evaluation mode; it says how to normalise and what the classes are.
        case: its masks are not looked at.
        draws: which draws.
        batch_size: slices or windows a call of the network.
        readings: how many label maps to keep, spread evenly over the draws.
        window: size of the windows of a 3-D network along each axis; see `sliding_window`.
        overlap: share by which such windows overlap.
        progress: is called with the number of slices done and of all slices.

    Raises:
        ProbsegError: E_ARGUMENT for a model in training mode, a batch size below 1, or more readings than the model
            has draws; E_NDIM for a 3-D network on a single image.
    """
    if model.training or batch_size < 1 or readings < 0:
        raise ProbsegError(
            "E_ARGUMENT",
            "predict_scan needs a model in evaluation mode, a batch_size of at least 1 and readings of at least 0, but "
            f"training is {model.training}, batch_size {batch_size} and readings {readings}",
        )
    classes, info = model.num_classes, model.info  # E_UNBOUND where the model knows no label set
    assert info is not None
    axes = space_axes(model)
    if axes > case.geometry.dimensions:
        raise ProbsegError("E_NDIM", f"case '{case.case_id}' is a single image, but the model's network is 3-D")
    image = torch.from_numpy(info.normalise(case.image))
    image = image if image.ndim > case.geometry.dimensions else image[None]
    image = image if case.geometry.dimensions == 3 else image[:, None]  # (channels, slices, rows, columns)

    def predict(part: Tensor) -> SegmentationDistribution:
        return model(part.to(model.device), draws)

    whole = _Reduction(classes, tuple(image.shape[1:]), readings)
    with torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
        for part, distribution in _slabs(image, predict, axes, batch_size, window, overlap):
            whole.add(part, distribution)
            if progress is not None:
                progress(part.stop, image.shape[1])
    return whole.finish(case, info.labels)


def _slabs(
    image: Tensor, predict: Predict, axes: int, batch_size: int, window: Sequence[int], overlap: float
) -> Iterator[Slab]:
    if axes == 2:
        return slice_by_slice(image, predict, batch_size)
    return sliding_window(image, predict, window, overlap, batch_size)


class _Reduction:
    """Arrays of a whole scan, filled slab by slab."""

    def __init__(self, classes: int, space: tuple[int, ...], readings: int) -> None:
        self.mean = np.empty((classes, *space), dtype=np.float32)
        self.mode = np.empty(space, dtype=np.uint8)
        self.maps = {name: np.empty(space, dtype=np.float32) for name in UNCERTAINTY_MAPS}
        self.readings = np.empty((readings, *space), dtype=np.uint8)
        self.counts: NDArray[np.int64] | None = None
        self.expected: NDArray[np.float64] | None = None

    def add(self, part: slice, distribution: SegmentationDistribution) -> None:
        """Reduce the distribution of some slices."""
        number, kept = distribution.num_draws, len(self.readings)
        if kept > number:
            raise ProbsegError(
                "E_ARGUMENT", f"{kept} readings are asked, but the model gives {number} draws; ask for fewer readings"
            )
        maps = distribution.maps().cpu()
        self.mean[:, part] = maps.mean.transpose(0, 1).numpy()
        self.mode[part] = maps.mode.numpy()
        for name in UNCERTAINTY_MAPS:
            self.maps[name][part] = getattr(maps, name).numpy()
        labels = distribution.readings()  # (draws, slices, rows, columns)
        counts = torch.stack([(labels == c).flatten(1).sum(dim=1) for c in range(distribution.num_classes)], dim=1)
        expected = distribution.probs.flatten(4).sum(dim=4).flatten(0, 1).cpu().double().sum(dim=1)
        if self.counts is None or self.expected is None:
            self.counts, self.expected = counts.cpu().numpy(), expected.numpy()
        else:
            self.counts, self.expected = self.counts + counts.cpu().numpy(), self.expected + expected.numpy()
        if kept:
            chosen = [k * number // kept for k in range(kept)]
            self.readings[:, part] = labels[chosen].cpu().numpy()

    def finish(self, case: Case, labels: LabelSet) -> ScanPrediction:
        """The prediction, on the grid of the case."""
        assert self.counts is not None and self.expected is not None  # a scan has at least one slice

        def flat(array: NDArray) -> NDArray:
            """Without the axis of slices where the case is a single image."""
            return array if case.geometry.dimensions == 3 else array[..., 0, :, :]

        return ScanPrediction(
            case,
            labels,
            flat(self.mean),
            flat(self.mode),
            **{name: flat(array) for name, array in self.maps.items()},
            readings=flat(self.readings),
            draw_counts=self.counts,
            draw_expected=self.expected,
        )
