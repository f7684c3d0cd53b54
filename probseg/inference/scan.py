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
from probseg.inference.precision import PRECISIONS, half_precision, safe_precision
from probseg.inference.sliding import Predict, Slab, slice_by_slice, sliding_window
from probseg.inference.volumes import StructureVolume, structure_volumes
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.labels import LabelSet
from probseg.models import SegmentationModule

__all__ = ["WINDOW", "ScanPrediction", "predict_scan", "space_axes"]

WINDOW = (32, 128, 128)  # of 3-D networks
_TORCH_KNOWS = ("uint8", "int8", "int16", "int32", "int64", "float32", "float64")
_TRIED = 8  # slices of a scan on which half precision is tried
_BLOCK = 2**18  # logits that are reduced at a time: a mebibyte, of which a processor core's own cache holds the half


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
        precision: of the network's convolutions, ``float32``, ``bfloat16`` or ``float16``.
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
    precision: str = "float32"

    @property
    def volumes(self) -> tuple[StructureVolume, ...]:
        """Volumes of every foreground class and group with their draws."""
        return structure_volumes(
            self.labels,
            self.draw_expected,
            self.draw_counts,
            np.array([np.count_nonzero(self.mode == c) for c in range(self.labels.num_classes)]),
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
    window: Sequence[int] | None = None,
    overlap: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
    precision: str = "auto",
) -> ScanPrediction:
    """Predict one scan: a 2-D network slice by slice, a 3-D network by overlapping windows.

    Draw k is the same function in every slice and window, so what a draw finds in them adds up to its volume.
    Logits exist for one batch at a time only.

    Args:
        model: in evaluation mode; it says how to normalise and what the classes are.
        case: its masks are not looked at.
        draws: which draws.
        batch_size: slices or windows a call of the network.
        readings: how many label maps to keep, spread evenly over the draws.
        window: size of overlapping windows along each axis, see `sliding_window`: three numbers for a 3-D network, by
            default 32, 128 and 128, and two for a 2-D network, by default none, which sees whole slices.
        overlap: share by which such windows overlap.
        progress: is called with the number of slices done and of all slices.
        precision: ``32``; ``half`` for what the device has of half precision; ``auto`` for this where some slices of
            the scan keep their labels in it, see `safe_precision`.

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
    if precision not in PRECISIONS:
        raise ProbsegError("E_ARGUMENT", f"precision must be one of {', '.join(PRECISIONS)}, but is '{precision}'")
    classes, info = model.num_classes, model.info  # E_UNBOUND where the model knows no label set
    assert info is not None
    axes = space_axes(model)
    if axes > case.geometry.dimensions:
        raise ProbsegError("E_NDIM", f"case '{case.case_id}' is a single image, but the model's network is 3-D")
    if window is not None and len(window) != axes:
        raise ProbsegError(
            "E_ARGUMENT",
            f"a window of a {axes}-D network has {axes} sizes, but {len(window)} are given: {tuple(window)}",
        )
    image = _as_stored(case)

    def predict(part: Tensor) -> SegmentationDistribution:
        return model(torch.from_numpy(info.normalise(part.numpy())).to(model.device), draws)

    windows = tuple(window) if window else None if axes == 2 else WINDOW
    whole = _Reduction(classes, tuple(image.shape[1:]), readings)
    with torch.inference_mode():
        dtype = _precision(precision, model.device, predict, image, axes, windows)
        with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
            for part, distribution in _slabs(image, predict, axes, batch_size, windows, overlap):
                whole.add(part, distribution)
                if progress is not None:
                    progress(part.stop, image.shape[1])
    return whole.finish(case, info.labels, str(dtype).removeprefix("torch."))


def _as_stored(case: Case) -> Tensor:
    """``(channels, slices, rows, columns)``, not yet normalised: of a whole scan that would be twice the memory."""
    image = case.image if case.image.ndim > case.geometry.dimensions else case.image[None]
    image = image if case.geometry.dimensions == 3 else image[:, None]
    image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))
    return torch.from_numpy(image if image.dtype.name in _TORCH_KNOWS else image.astype(np.float32))


def _slabs(
    image: Tensor, predict: Predict, axes: int, batch_size: int, window: tuple[int, ...] | None, overlap: float
) -> Iterator[Slab]:
    if window is None:
        return slice_by_slice(image, predict, batch_size)
    if axes == 2:
        return sliding_window(image, _of_slices(predict), (1, *window), overlap, batch_size)
    return sliding_window(image, predict, window, overlap, batch_size)


def _of_slices(predict: Predict) -> Predict:
    """A 2-D network as one whose windows are a slice deep."""
    return lambda part: SegmentationDistribution(predict(part[:, :, 0]).logits.unsqueeze(4))


def _precision(
    chosen: str, device: torch.device, predict: Predict, image: Tensor, axes: int, window: tuple[int, ...] | None
) -> torch.dtype:
    if chosen == "32":
        return torch.float32
    if chosen == "half":
        return half_precision(device) or torch.float32
    slices = image.shape[1]
    if axes == 2:
        places = sorted({(2 * k + 1) * slices // (2 * _TRIED) for k in range(_TRIED)})
        return safe_precision(device, predict, (image[:, k : k + 1].transpose(0, 1) for k in places))
    assert window is not None
    middle = [
        slice(max(0, (n - w) // 2), max(0, (n - w) // 2) + w) for n, w in zip(image.shape[1:], window, strict=True)
    ]
    return safe_precision(device, predict, [image[(None, slice(None), *middle)]])


class _Reduction:
    """Arrays of a whole scan, filled slab by slab."""

    def __init__(self, classes: int, space: tuple[int, ...], readings: int) -> None:
        # by torch, which asks for large pages where NumPy's take ten times as long to be touched first
        self.mean = torch.empty((classes, *space)).numpy()
        self.mode = torch.empty(space, dtype=torch.uint8).numpy()
        self.maps = {name: torch.empty(space).numpy() for name in UNCERTAINTY_MAPS}
        self.readings = torch.empty((readings, *space), dtype=torch.uint8).numpy()
        self.counts: NDArray[np.int64] | None = None
        self.expected: NDArray[np.float64] | None = None

    def add(self, part: slice, distribution: SegmentationDistribution) -> None:
        """Reduce the distribution of some slices, so many rows at a time that what is made of them stays in a cache."""
        number, kept = distribution.num_draws, len(self.readings)
        if kept > number:
            raise ProbsegError(
                "E_ARGUMENT", f"{kept} readings are asked, but the model gives {number} draws; ask for fewer readings"
            )
        if self.counts is None or self.expected is None:
            self.counts = np.zeros((number, distribution.num_classes), dtype=np.int64)
            self.expected = np.zeros((number, distribution.num_classes))
        logits = distribution.logits
        rows = max(1, _BLOCK * logits.shape[-2] // logits.numel()) if logits.device.type == "cpu" else logits.shape[-2]
        for start in range(0, logits.shape[-2], rows):
            block = slice(start, start + rows)
            self._add_rows(part, block, SegmentationDistribution(logits[..., block, :]))

    def _add_rows(self, part: slice, rows: slice, distribution: SegmentationDistribution) -> None:
        assert self.counts is not None and self.expected is not None
        maps = distribution.maps().cpu()
        self.mean[:, part, rows] = maps.mean.transpose(0, 1).numpy()
        self.mode[part, rows] = maps.mode.numpy()
        for name in UNCERTAINTY_MAPS:
            self.maps[name][part, rows] = getattr(maps, name).numpy()
        labels = distribution.readings()  # (draws, slices, rows, columns)
        for c in range(self.counts.shape[1]):  # compares bytes; np.bincount would turn each into eight
            self.counts[:, c] += (labels == c).flatten(1).sum(dim=1).cpu().numpy()
        self.expected += distribution.probs.flatten(4).sum(dim=4).flatten(0, 1).cpu().double().sum(dim=1).numpy()
        if kept := len(self.readings):
            chosen = [k * len(labels) // kept for k in range(kept)]
            self.readings[:, part, rows] = labels[chosen].cpu().numpy()

    def finish(self, case: Case, labels: LabelSet, precision: str) -> ScanPrediction:
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
            precision=precision,
        )
