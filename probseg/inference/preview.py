"""One picture of a prediction: the slice about which the model is least sure."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import NDArray

from probseg.inference.colours import class_colours
from probseg.inference.scan import ScanPrediction
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS
from probseg.labels import LabelSet
from probseg.records import DatasetInfo

__all__ = ["preview_figure", "preview_png", "shown_slice"]

_TITLES = {
    "entropy": "entropy (total)",
    "epistemic": "epistemic (models differ)",
    "ambiguity": "ambiguity (readings differ)",
    "noise": "noise (within a reading)",
}


def shown_slice(prediction: ScanPrediction) -> int:
    """The slice whose entropy sums to most; 0 for a single image."""
    if prediction.entropy.ndim == 2:
        return 0
    return int(prediction.entropy.sum(axis=(1, 2), dtype=np.float64).argmax())


def preview_figure(prediction: ScanPrediction, info: DatasetInfo) -> Figure:
    """Image, mode, probability of opacity or else of foreground, and the four uncertainties of `shown_slice`.

    Axial slices lie as radiologists hang them: front up, the patient's left on the right. The uncertainties share one
    scale in nats, from 0 to their largest value in this slice.
    """
    k = shown_slice(prediction)

    def cut(array: NDArray) -> NDArray:
        return array if prediction.entropy.ndim == 2 else array[..., k, :, :]

    image = info.normalise(cut(prediction.case.image[None] if _plain(prediction) else prediction.case.image))[0]
    geometry = prediction.case.geometry
    spacing = geometry.spacing[-2:] if geometry.spacing else (1.0, 1.0)
    aspect = spacing[0] / spacing[1]
    figure = Figure(figsize=(13.0, 7.0), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 5, width_ratios=[1, 1, 1, 1, 0.05])
    for place in (axes[0, 0], axes[0, 1]):
        place.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    _title(axes[0, 0], "image")
    shown = _overlay(axes[0, 1], cut(prediction.mode), prediction.labels, aspect)
    axes[0, 2].set_axis_off()
    if shown:
        axes[0, 2].legend(handles=shown, loc="center left", frameon=False, fontsize=9, title="classes of the mode")
    # where lungs are classes too, what is not background says little
    wanted = "opacity" if "opacity" in prediction.labels.structures else "foreground"
    members = prediction.labels.members(wanted) if wanted == "opacity" else np.arange(prediction.mean.shape[0]) > 0
    inside = np.clip(cut(prediction.mean)[members].sum(axis=0), 0.0, 1.0)
    probability = _map(axes[0, 3], inside, f"probability of {wanted}", "cividis", 1.0, aspect)
    figure.colorbar(probability, cax=axes[0, 4])
    top = max(float(cut(prediction.entropy).max()), 1e-6)
    for place, name in zip(axes[1], UNCERTAINTY_MAPS, strict=False):
        drawn = _map(place, cut(getattr(prediction, name)), _TITLES[name], "magma", top, aspect)
    figure.colorbar(drawn, cax=axes[1, 4]).set_label("nats")
    where = "" if prediction.entropy.ndim == 2 else f", slice {k + 1} of {len(prediction.entropy)}"
    draws = len(prediction.draw_counts)
    named = "".join(c if c.isprintable() else "?" for c in prediction.case.case_id).replace("$", r"\$")
    figure.suptitle(f"{named}{where} (most entropy), {draws} draw{'s' if draws > 1 else ''}", fontsize=12)
    return figure


def preview_png(prediction: ScanPrediction, info: DatasetInfo) -> bytes:
    """`preview_figure` as a PNG file; the same prediction gives the same bytes."""
    buffer = io.BytesIO()
    preview_figure(prediction, info).savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _plain(prediction: ScanPrediction) -> bool:
    """Whether the image has no axis of channels."""
    return prediction.case.image.ndim == prediction.case.geometry.dimensions


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _map(axes: Axes, values: NDArray, title: str, colours: str, top: float, aspect: float) -> AxesImage:
    drawn = axes.imshow(values, cmap=colours, vmin=0.0, vmax=top, aspect=aspect, interpolation="nearest")
    _title(axes, title)
    return drawn


def _overlay(axes: Axes, mode: NDArray, labels: LabelSet, aspect: float) -> Sequence[Patch]:
    """Half-transparent classes; returns what a legend needs for those that are there."""
    colours = class_colours(labels)
    table = ListedColormap([(0, 0, 0, 0), *(to_rgba(c, 0.55) for c in colours)])
    axes.imshow(mode, cmap=table, vmin=-0.5, vmax=labels.num_classes - 0.5, aspect=aspect, interpolation="nearest")
    _title(axes, "mode (most probable)")
    present = [int(c) for c in np.unique(mode) if c > 0]
    return [Patch(color=to_rgba(colours[c - 1], 0.55), label=labels.names[c].replace("$", r"\$")) for c in present]
