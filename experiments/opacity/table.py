"""Write results.csv and results.md: ``python table.py [WORK] [TARGET]``, WORK being the folder in which lane.py ran.

Without WORK the tables come from ``records`` beside this file. Only the study's published figures are typed, with their
source.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from timed import times_table

from probseg.adaptation import AdaptationNote
from probseg.analysis.bootstrap import Interval
from probseg.analysis.paired import paired_difference
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.markdown import figure_cell, markdown_table
from probseg.report.table import DASH

HERE = Path(__file__).parent
Row = dict[str, Any]

FAMILIES = ("stochastic_segmentation", "monte_carlo_dropout", "ensemble", "probabilistic_unet")
MODELS = ("phase1_unet", "phase1_pspnet", "phase2_soft", *FAMILIES)
WHAT = {
    "phase1_unet": "phase 1, U-Net, hard labels, from the lungs",
    "phase1_pspnet": "phase 1, PSPNet, hard labels, from nothing",
    "phase2_soft": "phase 2, soft labels, from phase 1",
    "stochastic_segmentation": "stochastic segmentation network, from phase 2",
    "monte_carlo_dropout": "Monte Carlo dropout, from phase 2",
    "ensemble": "ensemble, from the lungs",
    "probabilistic_unet": "probabilistic U-Net, from phase 2",
    "raters": "the raters themselves, one against the others",
}
FIGURES = ("opacity_iou", "iou", "volume_error", "volume_error_size", "ged_v", "soft_dice", "nll", "ece")
LEARNT = ("vessels", "normal_lung", "ground_glass", "consolidation")  # in phase 3
GROUPS = ("lung", "ground_glass", "crazy_paving", "consolidation")
ADAPTED = ("in_hu", "in_8_bits", "statistics", "entropy", "recalibration", "finetune")
ADAPTED_WHAT = {
    "in_hu": "the same patients in HU, not adapted",
    "in_8_bits": "in 8 bits, not adapted",
    "statistics": "NormalisationStatistics, no masks",
    "entropy": "EntropyMinimisation, no masks",
    "recalibration": "Recalibration",
    "finetune": "FineTune",
}
PUBLISHED = """\
| figure | the study | source | here |
|---|---|---|---|
| opacity IoU, U-Net, hard labels | 0.76 | Lensink et al. 2020 | {unet} |
| opacity IoU, PSPNet | 0.73 | Lensink et al. 2020 | {pspnet} |
| error of opacity volume | within 1.7 % of the experts | Lensink et al. 2020 | {volume} |
| percent well-aerated lung, R, soft labels | 0.900 | Law et al. 2022 | {soft} |
| percent well-aerated lung, R, hard labels | 0.856 | Law et al. 2022 | {hard} |
| pixels in complete agreement of all readers | 3.37 % | Law et al. 2022 | {agreed} |
"""


def read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures_of(run: Path) -> list[Row]:
    """The rows of ``probseg evaluate`` for a run: of the model under its name, of the raters as ``raters``."""
    rows = read_rows(run / "evaluation" / "results.csv")
    out = []
    for row in rows:
        if row["metric"] not in FIGURES or row["class"] not in ("", *GROUPS, *LEARNT):
            continue
        name = "raters" if row["family"] == "raters" else run.name
        out.append({"run": name, **{k: row[k] for k in ("site", "class", "metric", "value", "low", "high", "n")}})
    return out


def find(rows: Sequence[Row], run: str, metric: str, structure: str = "", site: str = "") -> Row | None:
    wanted = (run, metric, structure, site)
    return next((r for r in rows if (r["run"], r["metric"], r["class"], r["site"]) == wanted), None)


def cell(row: Row | None) -> str:
    """A figure with its interval; a dash where there is none."""
    values = [math.nan if row is None or row[k] in ("", None) else float(row[k]) for k in ("value", "low", "high")]
    return figure_cell(Interval(*values, 0))


def study_of(run: Path) -> Row:
    """What measure.py wrote; empty where it was not run."""
    path = run / "opacity.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


# -- well-aerated lung ----------------------------------------------------------------------------------------------


def aerated_pairs(study: Row) -> tuple[NDArray[np.float64], list[str]]:
    """``(cases, 2)`` percent well-aerated lung by the model and as the mean of the raters, and patients."""
    pairs, patients = [], []
    for case in study.get("cases", []):
        said = case["aerated"]
        raters = [v for name, v in said.items() if name != "model" and v is not None]
        if said["model"] is not None and raters:
            pairs.append((said["model"], float(np.mean(raters))))
            patients.append(case["patient_id"])
    return np.array(pairs, dtype=np.float64).reshape(-1, 2), patients


def correlation(pairs: NDArray[np.float64]) -> float:
    """Pearson's R; NaN for fewer than three cases or where either does not vary."""
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0).any():
        return math.nan
    return float(np.corrcoef(pairs.T)[0, 1])


def with_interval(
    pairs: NDArray[np.float64], patients: Sequence[str], figure: Callable[[NDArray], float], samples: int = 1000
) -> tuple[float, float, float]:
    """A figure of pairs with its 95 % percentile interval over patients, seed 0."""
    names, which = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    if not len(names):
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    own = [np.flatnonzero(which == k) for k in range(len(names))]
    drawn = []
    for _ in range(samples):
        chosen = np.concatenate([own[k] for k in rng.integers(0, len(names), len(names))])
        drawn.append(figure(pairs[chosen]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if not np.isnan(drawn).all() else (math.nan, math.nan)
    return figure(pairs), float(low), float(high)


def aerated_rows(run: str, study: Row) -> list[Row]:
    pairs, patients = aerated_pairs(study)
    found = {
        "aerated_r": with_interval(pairs, patients, correlation),
        "aerated_error": with_interval(pairs, patients, lambda p: float((p[:, 0] - p[:, 1]).mean())),
        "aerated_error_size": with_interval(pairs, patients, lambda p: float(np.abs(p[:, 0] - p[:, 1]).mean())),
    }
    return [
        {"run": run, "site": "", "class": "", "metric": m, "value": v[0], "low": v[1], "high": v[2], "n": len(pairs)}
        for m, v in found.items()
    ]


# -- sections -------------------------------------------------------------------------------------------------------


def model_table(rows: Sequence[Row], runs: Sequence[str], classes: Sequence[str]) -> str:
    """Overlap as the study reports it."""
    heads = ["run", "opacity IoU", *(f"IoU {c.replace('_', ' ')}" for c in classes), "volume error", "its size"]
    lines = []
    for run in runs:
        cells = [cell(find(rows, run, "opacity_iou"))]
        cells += [cell(find(rows, run, "iou", c)) for c in classes]
        cells += [cell(find(rows, run, m)) for m in ("volume_error", "volume_error_size")]
        lines.append([WHAT.get(run, run), *cells])
    return markdown_table(heads, lines)


def distribution_table(rows: Sequence[Row], runs: Sequence[str]) -> str:
    """Distance between distributions, calibration, and well-aerated lung."""
    names = {
        "ged_v": "GED (V)",
        "soft_dice": "soft Dice",
        "nll": "NLL",
        "ece": "ECE",
        "aerated_r": "well-aerated lung, R",
        "aerated_error": "its error, points",
        "aerated_error_size": "size of that",
    }
    lines = [[WHAT.get(run, run), *(cell(find(rows, run, m)) for m in names)] for run in runs]
    return markdown_table(["run", *names.values()], lines)


def confusion_table(study: Row, key: str) -> str:
    """Rows: what a rater drew; columns: what the model, or another rater, called it, in percent of the row."""
    classes = [c.replace("_", " ") for c in study["classes"]]
    total = np.sum([np.array(case["confusion"][key]) for case in study["cases"]], axis=0)
    lines = []
    for name, line in zip(classes, total, strict=True):
        share = 100 * line / line.sum() if line.sum() else np.full(len(line), math.nan)
        lines.append([name, *(DASH if s != s else f"{s:.1f}" for s in share)])
    return markdown_table(["drawn", *classes], lines)


def leave_one_out(work: Path, sites: Sequence[str]) -> str:
    """The same test patients by a model that was trained at their site and by one that was not."""
    seen = {case["case_id"]: case for case in study_of(work / "runs" / "phase1_unet").get("cases", [])}
    every: list[tuple[float, float, str]] = []
    lines = []
    for site in sites:
        cases = study_of(work / "runs" / f"without_{site}").get("cases", [])
        part = [
            (_known(case["opacity_iou"]), _known(seen[case["case_id"]]["opacity_iou"]), case["patient_id"])
            for case in cases
            if case["case_id"] in seen
        ]
        every += part
        if part:
            lines.append(_left_out(site, part))
    if every:
        lines.append(_left_out("all of them", every))
    return markdown_table(("left out", "patients", "opacity IoU, site unseen", "site seen", "unseen less seen"), lines)


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _left_out(name: str, part: Sequence[tuple[float, float, str]]) -> list[str]:
    values = np.array([row[:2] for row in part])
    found = paired_difference(values[:, 0], values[:, 1], [row[2] for row in part]).interval
    means = [f"{v:.3f}" for v in np.nanmean(values, axis=0)]
    return [name, str(len({row[2] for row in part})), *means, figure_cell(found, signed=True)]


def adapted_rows(work: Path) -> list[Row]:
    """Figures of ``probseg test`` for each run of the 8-bit source."""
    out = []
    for name in ADAPTED:
        for row in read_rows(work / "runs" / f"adapt_{name}" / "results.csv"):
            if not row.get("site") and not row.get("class") and row["metric"] in FIGURES:
                kept = {k: row[k] for k in ("metric", "value", "low", "high", "n")}
                out.append({"run": f"adapt_{name}", "site": "", "class": "", **kept})
    return out


def adapted_table(work: Path, rows: Sequence[Row]) -> str:
    """Each method of ``probseg adapt`` and what it began with."""
    names = ("opacity_iou", "volume_error", "volume_error_size", "soft_dice", "nll", "ece")
    heads = ("opacity IoU", "volume error", "its size", "soft Dice", "NLL", "ECE")
    lines = []
    for name in ADAPTED:
        run = f"adapt_{name}"
        if find(rows, run, "opacity_iou") is not None:
            note = AdaptationNote.read(work / "runs" / run) or {}
            cells = [cell(find(rows, run, metric)) for metric in names]
            lines.append([ADAPTED_WHAT[name], str(len(note.get("patients", ())) or DASH), *cells])
    return markdown_table(["model", "patients", *heads], lines)


def rater_sentence(study: Row) -> tuple[str, str]:
    """How far raters agree in what any of them calls an opacity: percent of complete agreement, and a sentence."""
    sums = {k: sum(case["raters"][k] for case in study["cases"]) for k in ("nats", "agreed", "voxels")}
    agreed = f"{100 * sums['agreed'] / sums['voxels']:.1f} %"
    return agreed, (
        f"Of the {sums['voxels']} voxels of the test scans that any of the raters calls an opacity, all of them agree "
        f"on the group in {agreed}; the mean entropy of their votes is {sums['nats'] / sums['voxels']:.3f} nats."
    )


def published(rows: Sequence[Row], agreed: str) -> str:
    """The study's figures beside ours."""
    return PUBLISHED.format(
        unet=cell(find(rows, "phase1_unet", "opacity_iou")),
        pspnet=cell(find(rows, "phase1_pspnet", "opacity_iou")),
        volume=cell(find(rows, "phase1_unet", "volume_error")) + ", mean of signed relative errors",
        soft=cell(find(rows, "phase2_soft", "aerated_r")),
        hard=cell(find(rows, "phase1_unet", "aerated_r")),
        agreed=agreed,
    )


def trainings(work: Path, runs: Sequence[str]) -> str:
    """Steps, seed and threads of every training."""
    lines = []
    for run in runs:
        path = work / "runs" / run / "training.json"
        if path.is_file():
            t = json.loads(path.read_text(encoding="utf-8"))
            lines.append((run, *(str(t[name]) for name in ("steps", "seed", "threads", "train_seconds"))))
    return markdown_table(("run", "steps", "seed", "threads", "seconds on the clock"), lines)


def page(work: Path, rows: list[Row], sites: Sequence[str]) -> Iterator[str]:
    runs = work / "runs"
    have = [name for name in MODELS if study_of(runs / name)]
    study = study_of(runs / "phase1_unet")
    agreed, sentence = rater_sentence(study) if study else ("-", "")
    yield "# The opacity study on synthetic CT\n"
    yield "Written by table.py; 95 % bootstrap intervals over patients. What it can and cannot say: README.md.\n"
    yield "## Published figures and these\n"
    yield "They do not compare: the study's scans and readers are private; these are synthetic, the networks small.\n"
    yield published(rows, agreed)
    yield f"{sentence}\n" if sentence else ""
    yield "## Opacity and groups\n"
    yield model_table(rows, [*have, "raters"], GROUPS)
    yield "## Distributions, and well-aerated lung against the mean of the raters\n"
    yield distribution_table(rows, [*have, "raters"])
    yield "## Confusion between groups, percent of what a rater drew\n"
    for name in ("phase1_unet", "phase1_pspnet", "phase2_soft"):
        if study_of(runs / name):
            yield f"{WHAT[name]}:\n"
            yield confusion_table(study_of(runs / name), "model")
    if study:
        yield "Another rater:\n"
        yield confusion_table(study, "raters")
    yield "## One site left out\n"
    yield leave_one_out(work, sites)
    yield "## From HU to the 8-bit images of another source\n"
    yield adapted_table(work, rows)
    if study_of(runs / "phase3"):
        yield "## Phase 3\n"
        yield model_table(rows, ["phase3"], LEARNT)
        yield "Drawn, or derived, against predicted, where the label is one class:\n"
        yield confusion_table(study_of(runs / "phase3"), "model")
    yield "## Trainings and processor time\n"
    names = ["phase1_lungs", *MODELS, *(f"without_{s}" for s in sites), "phase3"]
    yield trainings(work, names)
    yield times_table(work / "times.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    runs: Path = arguments.work / "runs"
    sites = sorted(p.name.removeprefix("without_") for p in runs.glob("without_*"))
    rows: list[Row] = []
    for name in (*MODELS, *(f"without_{s}" for s in sites), "phase3"):
        own = figures_of(runs / name) + (aerated_rows(name, study_of(runs / name)) if study_of(runs / name) else [])
        once = {r["run"] for r in rows} & {"raters"} or (name == "phase3" or name.startswith("without_"))
        rows += [r for r in own if r["run"] != "raters" or not once]
    rows += adapted_rows(arguments.work)
    write_text(arguments.target / "results.md", "\n".join(page(arguments.work, rows, sites)))
    columns = ("run", "site", "class", "metric", "value", "low", "high", "n")
    kept = [r for r in rows if r["value"] not in ("", None) and not math.isnan(float(r["value"]))]
    write_csv(arguments.target / "results.csv", columns, [[_number(r[k]) for k in columns] for r in kept])


def _number(value: Any) -> Any:
    """Text of a figure as a number, so that every file has the same digits."""
    try:
        return float(value) if isinstance(value, str) and value else value
    except ValueError:
        return value


if __name__ == "__main__":
    main()
