"""A training as pictures: how its figures went."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from probseg.errors import ProbsegError
from probseg.report.plots.style import line_of, quiet, titled

__all__ = ["LATENT_ACTIVITY", "learning_curves", "training_figures"]

LATENT_ACTIVITY = ("train/active_units", "train/kl", "train/divergence", "train/factor_deviation")
"""What families with latent variables log of their use, see `probseg.models.collapse`."""


def training_figures(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """``metrics.csv`` of a run folder: each figure's name to ``(measurements, 2)``, its step and its value.

    Raises:
        ProbsegError: E_FILE_MISSING, or E_SCHEMA where the file has no column ``step``.
    """
    path = Path(path)
    if not path.is_file():
        raise ProbsegError("E_FILE_MISSING", f"there is no '{path}'; probseg fit writes it into the run folder")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "step" not in (reader.fieldnames or ()):
            raise ProbsegError("E_SCHEMA", f"'{path}' has no column 'step', so it is no metrics.csv of a run")
        found: dict[str, list[tuple[float, float]]] = {}
        for row in reader:
            for name, text in row.items():
                if text and name not in ("step", "epoch"):
                    found.setdefault(name, []).append((float(row["step"]), float(text)))
    return {name: np.array(values) for name, values in sorted(found.items())}


def learning_curves(figures: Mapping[str, NDArray[np.float64]], axes: Axes, names: tuple[str, ...]) -> Axes:
    """Figures of a training against its steps, those of ``names`` that were measured; a colour and line each.

    Args:
        figures: as `training_figures` gives them.
        axes: to draw on.
        names: such as ``train/loss`` and ``validation/nll``. Those measured once are a dot.
    """
    known = [name for name in names if name in figures]
    for k, name in enumerate(known):
        colour, line = line_of(k)
        steps, values = figures[name].T
        axes.plot(steps, values, color=colour, linestyle=line, marker="o" if len(steps) == 1 else "", label=name)
    quiet(axes)
    axes.set_xlabel("step")
    titled(axes, "nothing measured" if not known else ", ".join(n.split("/")[-1].replace("_", " ") for n in known))
    if len(known) > 1:
        axes.legend(frameon=False, fontsize=9)
    return axes
