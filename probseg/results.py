"""What a test leaves in a run folder: figures with intervals, a table of cases, and cases to look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.bootstrap import Interval
from probseg.batch import Batch, Example, collate
from probseg.data.examples import Examples
from probseg.data.sources import Entry
from probseg.distribution import SegmentationDistribution
from probseg.evaluation.held_out import UNDEFINED_FOR_A_MASK
from probseg.io.atomic import replacing, write_text
from probseg.io.tables import write_csv
from probseg.metrics import Evaluation
from probseg.records import DatasetInfo

__all__ = ["BOOTSTRAP_SAMPLES", "evaluate_raters", "example_positions", "write_examples", "write_results"]

BOOTSTRAP_SAMPLES = 1000
_SURE = 60.0  # a logit at which float32 probabilities are 0 and 1
_UNDEFINED_FOR_A_MASK = (*UNDEFINED_FOR_A_MASK, "log_likelihood", "ncc")


def write_results(
    run: Path,
    family: str,
    evaluation: Evaluation,
    examples: Examples,
    summary: Mapping[str, Any],
    undefined: Sequence[str] = (),
    further: Mapping[str, Interval] | None = None,
) -> dict[str, Interval]:
    """Write ``results.csv`` and ``test/`` of a run folder, and return the figures.

    Where the cases come from several sites, ``results.csv`` has the column ``site`` and the figures of each site, with
    intervals over its patients, below those of all cases, whose cell is empty. Where there are several classes, the
    column ``class`` has the volumes of each class and group; figures without one are of all classes together, and those
    of volumes of the structure that ``test/summary.json`` calls ``volume_structure``. Volumes are of whole scans.

    Args:
        run: the run folder.
        family: name for the tables.
        evaluation: filled with every case of ``examples``.
        examples: the test examples, for their names.
        summary: what else ``test/summary.json`` says, in plain types.
        undefined: figures that make no sense here; their cells stay empty.
        further: figures of all cases that come after these.
    """
    names = [examples.entries[int(k)] for k in evaluation.index()]
    figures = {**_figures(evaluation, undefined), **(further or {})}
    parts = {"": figures, **_by_site(evaluation, names, undefined)}
    structures = _by_structure(evaluation, {site: _indices(evaluation, names, site) for site in parts})
    rows = [
        (family, metric, f.value, f.low, f.high, f.n, site, structure)
        for site, structure, metric, f in (
            *((site, "", metric, f) for site, part in parts.items() for metric, f in part.items()),
            *structures,
        )
    ]
    header = ("family", "metric", "value", "low", "high", "n", "site", "class")
    kept = [*range(6), *((6,) if len(parts) > 1 else ()), *((7,) if structures else ())]
    write_csv(run / "results.csv", [header[k] for k in kept], [[row[k] for k in kept] for row in rows])
    columns = {name: v for name, v in evaluation.per_case().items() if name not in undefined}
    table = [
        (e.case_id, examples.patient_ids[e.patient], e.site, *(float(v[k]) for v in columns.values()))
        for k, e in enumerate(names)
    ]
    write_csv(run / "test" / "cases.csv", ("case_id", "patient_id", "site", *columns), table)
    evaluation.write_reliability(run / "test" / "reliability.csv", family)
    counts = {
        "family": family,
        "cases": len(names),
        "patients": len({e.patient for e in names}),
        "raters_max": max((e.raters for e in names), default=0),
        "bootstrap": BOOTSTRAP_SAMPLES,
        **({} if evaluation.volumes is None else {"volume_structure": evaluation.volumes.structures.headline}),
        "versions": {name: version(name) for name in ("probseg", "torch", "pytorch-lightning", "numpy")},
    }
    write_text(run / "test" / "summary.json", json.dumps({**counts, **summary}, indent=2) + "\n")
    return figures


def _figures(
    evaluation: Evaluation, undefined: Sequence[str], only: NDArray[np.int64] | None = None
) -> dict[str, Interval]:
    nothing = Interval(float("nan"), float("nan"), float("nan"), 0)
    figures = evaluation.intervals(BOOTSTRAP_SAMPLES, only)
    return {name: nothing if name in undefined else value for name, value in figures.items()}


def _by_site(
    evaluation: Evaluation, names: Sequence[Entry], undefined: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """The figures of each named site; nothing where all cases come from one."""
    sites = sorted({e.site for e in names})
    if len(sites) < 2:
        return {}
    return {site: _figures(evaluation, undefined, _indices(evaluation, names, site)) for site in sites if site}


def _indices(evaluation: Evaluation, names: Sequence[Entry], site: str) -> NDArray[np.int64] | None:
    """Which cases come from a site; None for all, as an empty name says."""
    return evaluation.index()[np.array([e.site == site for e in names], dtype=bool)] if site else None


def _by_structure(
    evaluation: Evaluation, parts: Mapping[str, NDArray[np.int64] | None]
) -> list[tuple[str, str, str, Interval]]:
    """Site, structure, metric and figure of the volumes of each class and group; nothing where there is but one."""
    if evaluation.volumes is None or len(evaluation.volumes.structures.labels.structures) < 2:
        return []
    return [
        (site, f.structure, f.metric, f.interval)
        for site, only in parts.items()
        for f in evaluation.volumes.by_structure(BOOTSTRAP_SAMPLES, only=only)
        if f.structure
    ]


def example_positions(diversity: NDArray[np.float64], count: int = 5) -> list[int]:
    """Which cases to show: evenly from little to much disagreement among raters, so that no model picks them."""
    known = np.flatnonzero(~np.isnan(diversity))
    ranked = known[np.argsort(diversity[known], kind="stable")]
    if len(ranked) <= count:
        return [int(k) for k in ranked]
    return [int(ranked[round(q * (len(ranked) - 1))]) for q in np.linspace(0.08, 0.98, count)]


def write_examples(
    run: Path, examples: Sequence[Example], predict: Callable[[Tensor], SegmentationDistribution]
) -> int:
    """Write ``test/examples.npz``: images, masks, maps and eight readings of a few cases of one shape.

    Returns:
        How many draws the predicted distribution has.
    """
    batch = collate(examples)
    with torch.no_grad():
        distribution = predict(batch.image)
    maps, readings = distribution.maps().cpu(), distribution.readings().cpu().transpose(0, 1)
    eight = torch.arange(8) % readings.shape[1] if readings.shape[1] < 8 else torch.arange(8)
    arrays = {
        "case_id": np.array(batch.case_ids),
        "image": batch.image[:, 0].cpu().numpy(),
        "masks": batch.masks.cpu().numpy(),
        "rated": batch.rated.cpu().numpy(),
        "mean": maps.mean.half().numpy(),
        **{name: getattr(maps, name).half().numpy() for name in ("entropy", "epistemic", "ambiguity", "noise")},
        "readings": readings[:, eight].numpy(),
    }
    (run / "test").mkdir(parents=True, exist_ok=True)
    with replacing(run / "test" / "examples.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return distribution.num_draws


def _as_distribution(labels: Tensor, num_classes: int) -> SegmentationDistribution:
    """One mask ``(batch, *space)`` as a distribution that is sure of it."""
    hot = torch.nn.functional.one_hot(labels.long().clamp(max=num_classes - 1), num_classes).movedim(-1, 1)
    return SegmentationDistribution((2 * hot.float() - 1)[None, None] * _SURE)


def evaluate_raters(run: Path, examples: Examples, info: DatasetInfo, command: str) -> dict[str, Interval]:
    """The raters in the model's place: each in turn is held out and compared with the others, as one more run folder.

    Means over the held-out raters of a case, then over cases. A mask gives probability 0 to what it did not draw, so
    its likelihood is undefined; so are the diversity of a single mask and GED (U), which needs two. GED (V) of a
    held-out rater equals its floor but for chance: a rater is a perfect model of one reading.
    """
    classes = info.labels.num_classes
    evaluation = Evaluation(classes, torch.from_numpy(info.labels.admissible), labels=info.labels)
    most = max(entry.raters for entry in examples.entries)
    for k in range(len(examples)):
        whole = collate([examples[k]])
        for rater in range(examples.entries[k].raters):
            if not whole.rated[:, rater].any() or whole.masks.shape[1] < 2:
                continue
            others = [r for r in range(whole.masks.shape[1]) if r != rater]
            known = whole.rated[:, rater : rater + 1] & (
                whole.masks[:, rater : rater + 1] < classes
            )  # no group is a class
            rated = whole.rated[:, others] & known
            held_out = Batch(
                whole.image,
                whole.masks[:, others],
                rated,
                whole.index * most + rater,
                whole.patient,
                whole.spacing_mm,
                whole.case_ids,
                whole.sites,
                scan=whole.scan * most + rater,
                voxel_ml=whole.voxel_ml,
            )
            evaluation.update(_as_distribution(whole.masks[:, rater], classes), held_out)
    for metric in evaluation.metrics:
        metric.pool(lambda index: index // most)
    summary = {"class_path": None, "dataset": info.to_dict(), "draws": 1, "seed": None, "train_seconds": None}
    return write_results(
        run,
        "raters",
        evaluation,
        examples,
        {**summary, "warm_start": None, "epochs": None, "command": command},
        _UNDEFINED_FOR_A_MASK,
    )
