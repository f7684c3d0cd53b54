"""Pictures of results: each function draws one result on axes and returns them.

No function keeps state or opens a figure, so the page, a notebook and a paper use the same ones; `save_figure` writes a
figure for print. Of one case (`probseg.report.plots.example`), of tested runs (`runs`), of a study of raters
(`agreement`), of an evaluation (`evaluation`).
"""

from __future__ import annotations

from probseg.report.plots.agreement import (
    agreement_by_size,
    bland_altman,
    ceiling,
    confusion,
    pair_heat_map,
    volumes_by_rater,
)
from probseg.report.plots.evaluation import coverage, risk_coverage, volume_agreement
from probseg.report.plots.example import (
    image,
    mean_probability,
    rater_contours,
    rater_mask,
    rater_share,
    reading,
    top_nats,
    uncertainty,
)
from probseg.report.plots.runs import forest, reliability
from probseg.report.plots.saving import COLUMN_MM, PAGE_MM, save_figure
from probseg.report.plots.style import ACCENT, CLASS_COLOURS, INK, LINE, MUTED, PROBABILITY, STYLE, UNCERTAINTY
from probseg.report.plots.training import learning_curves, training_figures

__all__ = [
    "ACCENT",
    "CLASS_COLOURS",
    "COLUMN_MM",
    "INK",
    "LINE",
    "MUTED",
    "PAGE_MM",
    "PROBABILITY",
    "STYLE",
    "UNCERTAINTY",
    "agreement_by_size",
    "bland_altman",
    "ceiling",
    "confusion",
    "coverage",
    "forest",
    "image",
    "learning_curves",
    "mean_probability",
    "pair_heat_map",
    "rater_contours",
    "rater_mask",
    "rater_share",
    "reading",
    "reliability",
    "risk_coverage",
    "save_figure",
    "top_nats",
    "training_figures",
    "uncertainty",
    "volume_agreement",
    "volumes_by_rater",
]
