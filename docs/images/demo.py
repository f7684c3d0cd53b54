"""Draw docs/images/demo.png from the results of `probseg demo`: python docs/images/demo.py demo [CASE]."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from probseg.report import load_run, plots

run = load_run(Path(sys.argv[1]) / "runs" / "probabilistic_unet")
examples = dict(run.examples)
example = examples[sys.argv[2]] if len(sys.argv) > 2 else list(examples.values())[len(examples) // 2]
top = plots.top_nats([example], 2)
figure = Figure(figsize=(11.2, 3.3), dpi=110, layout="constrained")
FigureCanvasAgg(figure)
grid = figure.subplots(2, 8)
cells = [
    ("image", lambda a: plots.image(example, a)),
    *((f"radiologist's mask {k + 1}", lambda a, k=k: plots.rater_mask(example, a, k)) for k in range(4)),
    ("mean probability", lambda a: plots.mean_probability(example, a)),
    ("entropy", lambda a: plots.uncertainty(example, a, "entropy", top)),
    ("of it, ambiguity", lambda a: plots.uncertainty(example, a, "ambiguity", top)),
    *((f"model's reading {k + 1}", lambda a, k=k: plots.reading(example, a, k)) for k in range(8)),
]
for axes, (title, draw) in zip(grid.ravel(), cells, strict=True):
    draw(axes)
    axes.set_title(title, fontsize=8)
figure.savefig(Path(__file__).with_suffix(".png"))
