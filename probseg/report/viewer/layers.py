"""What the viewer can lay over a scan: maps of the model, its mode and readings, and what each rater drew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, PredictedDistribution
from probseg.records import DatasetInfo
from probseg.report.plots.style import PROBABILITY, UNCERTAINTY
from probseg.report.viewer.grid import Grid, fit_grid
from probseg.report.viewer.volume_file import Quantised, encode, quantise_map, quantise_scan

__all__ = ["PRESETS", "Layer", "ViewedCase", "viewed_case"]

PRESETS = (("lung", -1350.0, 150.0), ("mediastinum", -160.0, 240.0))
"""Windows of CT in HU: name, black, white."""

SCAN, MAP, MASK, READINGS = "scan", "map", "mask", "readings"


@dataclass(frozen=True)
class Layer:
    """One volume.

    Attributes:
        kind: ``scan``, ``map``, ``mask`` or ``readings``.
        label: what the viewer calls it.
        text: base64 of a gzipped NIfTI file.
        colours: name of a colour map; empty for masks, which take the colours of the labels.
        top: value at the top of the colours.
        unit: of the values.
        frames: 1, or how many readings.
    """

    kind: str
    label: str
    text: str
    colours: str = ""
    top: float = 0.0
    unit: str = ""
    frames: int = 1


@dataclass(frozen=True)
class ViewedCase:
    """One case in the viewer.

    Attributes:
        case_id: of the case.
        layers: the scan first, if there is one.
        windows: name, black and white of each choice, the first one shown first.
        flat: whether it is a single image.
        notes: what the viewer does not show as it is.
        place_mm: where to begin, RAS mm: where raters differ most.
    """

    case_id: str
    layers: tuple[Layer, ...]
    windows: tuple[tuple[str, float, float], ...]
    flat: bool
    notes: tuple[str, ...]
    place_mm: tuple[float, float, float]

    @property
    def size(self) -> int:
        """Bytes that it adds to a page."""
        return sum(len(layer.text) for layer in self.layers)


def viewed_case(
    case: Case,
    info: DatasetInfo,
    prediction: PredictedDistribution | None,
    structure: str,
    top_nats: float,
    coarse: bool = False,
) -> ViewedCase:
    """Everything about a case that can be looked at.

    Args:
        case: with its image, or without.
        info: of its dataset.
        prediction: of the case; None for the raters alone.
        structure: class or group whose probability is shown, and whose share of raters.
        top_nats: top of the scale of uncertainty.
        coarse: half as many rows and columns, and a byte a voxel, for a page that is too large otherwise.
    """
    flat = case.geometry.dimensions == 2
    masks, rated = (_volume(a, flat) for a in case.stacked())
    inside = np.asarray((masks > 0).any(axis=0) & rated.any(axis=0))
    if prediction is not None:
        inside = np.asarray(inside | (_volume(prediction.mode, flat) > 0))
    shape = (int(inside.shape[0]), int(inside.shape[1]), int(inside.shape[2]))
    grid = fit_grid(shape, inside, 2 if coarse else 1)
    affine = grid.affine(case.geometry)
    windows = _windows(info)
    layers, notes = [], [grid.note]
    if case.has_image:
        image = case.image[0] if case.image.ndim > case.geometry.dimensions else case.image
        low, high = min(w[1] for w in windows), max(w[2] for w in windows)
        scan = quantise_scan(grid.take(_volume(image, flat)), low, high, coarse)
        notes.append(scan.note)
        layers.append(Layer(SCAN, "scan", encode(scan, affine)))
    else:
        notes.append("the dataset holds annotations without images")
    drawn = (info.labels.membership(structure)[masks] == 1) & rated
    share = np.divide(drawn.sum(axis=0), rated.sum(axis=0), out=np.zeros(shape), where=rated.any(axis=0))
    layers += _map_layers(grid, affine, prediction, info, structure, share, top_nats, flat)
    layers += _mask_layers(grid, affine, case, info, masks, rated, prediction, flat)
    if prediction is None:
        notes.append("no prediction of this case was given")
    elif not len(prediction.readings):
        notes.append("no readings were written; predict with --readings 16 to step through them")
    slice_, row, column = _place(grid, share, inside)
    x, y, z = (float(v) for v in (affine @ [column, row, slice_, 1.0])[:3])
    return ViewedCase(case.case_id, tuple(layers), windows, flat, tuple(n for n in notes if n), (x, y, z))


def _map_layers(
    grid: Grid,
    affine: NDArray[np.float64],
    prediction: PredictedDistribution | None,
    info: DatasetInfo,
    structure: str,
    share: NDArray[np.float64],
    top_nats: float,
    flat: bool,
) -> Iterator[Layer]:
    def layer(label: str, values: NDArray, colours: str, top: float, unit: str) -> Layer:
        text = encode(quantise_map(grid.take(values), top), affine)
        return Layer(MAP, label if values.any() else f"{label} (0 everywhere)", text, colours, top, unit)

    if prediction is not None:
        probability = prediction.mean[info.labels.members(structure)].sum(axis=0)
        yield layer(f"probability of {structure}", _volume(probability, flat), PROBABILITY, 1.0, "")
        for name in UNCERTAINTY_MAPS:
            yield layer(name, _volume(prediction.maps[name], flat), UNCERTAINTY, top_nats, "nats")
    yield layer(f"share of raters who drew {structure}", share, PROBABILITY, 1.0, "")


def _mask_layers(
    grid: Grid,
    affine: NDArray[np.float64],
    case: Case,
    info: DatasetInfo,
    masks: NDArray[np.uint8],
    rated: NDArray[np.bool_],
    prediction: PredictedDistribution | None,
    flat: bool,
) -> Iterator[Layer]:
    def text(values: NDArray) -> str:
        return encode(Quantised(grid.take(values).astype(np.uint8)), affine)

    if prediction is not None:
        yield Layer(MASK, "mode", text(_volume(prediction.mode, flat)))
    for k, rater in enumerate(case.masks):
        name = rater if info.stable_raters else f"reading {k + 1} of the raters"
        seen = rated[k].any(axis=(1, 2))
        part = "" if rated[k].all() else f" (looked at {int(seen.sum())} of {len(seen)} slices)"
        yield Layer(MASK, f"{name}{part}", text(np.where(rated[k], masks[k], 0)))
    if prediction is not None and len(prediction.readings):
        readings = np.stack([_volume(r, flat) for r in prediction.readings])
        yield Layer(READINGS, "readings of the model", text(readings), frames=len(readings))


def _windows(info: DatasetInfo) -> tuple[tuple[str, float, float], ...]:
    """The dataset's own, and the presets of CT where intensities can be Hounsfield units."""
    own = ("as the model sees it", *info.window)
    return (own, *PRESETS) if info.window[0] <= -150 else (own,)


def _place(grid: Grid, share: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Voxel of the part shown to begin at: where raters differ, on the slice on which they differ most."""
    differ = grid.take((share > 0) & (share < 1))
    wanted = differ if differ.any() else grid.take(inside)
    if not wanted.any():
        a, b, c = (int(n) // 2 for n in wanted.shape)
        return a, b, c
    slice_ = int(wanted.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(wanted[slice_])
    nearest = int(np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2))
    return slice_, int(rows[nearest]), int(columns[nearest])


def _volume(array: NDArray, flat: bool) -> NDArray:
    """``(..., slices, rows, columns)``, of a single image one slice."""
    return array[..., None, :, :] if flat else array
