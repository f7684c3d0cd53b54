"""What the study reports beside ``probseg evaluate``: confusion of groups, well-aerated lung, agreement of raters.

python experiments/opacity/measure.py runs/phase2_soft/predictions data/groups runs/phase2_soft/opacity.json
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.known import mean_of_known
from probseg.analysis.overlap import iou
from probseg.analysis.volume_structures import VolumeStructures
from probseg.analysis.volumes import lung_parts, structure_voxels
from probseg.case import Case
from probseg.io.atomic import write_text
from probseg.io.predicted import predictions_of
from probseg.labels import LabelSet
from probseg.manifest import open_dataset


def confusion(a: NDArray, b: NDArray, known: NDArray, classes: int) -> NDArray[np.int64]:
    """``(classes, classes)`` voxels that a calls i and b calls j, where both are leaf classes and ``known``."""
    both = known & (a < classes) & (b < classes)
    joint = np.bincount(a[both].astype(np.intp) * classes + b[both], minlength=classes**2)
    return joint.reshape(classes, classes)


def aerated_percent(mask: NDArray, rated: NDArray, labels: LabelSet) -> float:
    """Lung without opacity in percent of the lung that the same rater drew; NaN where that is not known."""
    lung = lung_parts(labels)
    if lung is None or lung.aerated is None:
        return math.nan
    counts = np.bincount(mask[rated].ravel(), minlength=len(labels.values))
    whole, part = (structure_voxels(counts, labels.membership_of(x), bool(rated.all())) for x in lung)
    return 100 * part / whole if whole > 0 else math.nan


def entropy_of_raters(masks: NDArray, rated: NDArray, labels: LabelSet) -> tuple[float, float, int]:
    """Sum of Shannon's entropy of the raters' classes, nats, voxels of complete agreement, and all voxels.

    Of voxels that at least two raters rated and one of them called an opacity.
    """
    leaf = rated & (masks < labels.num_classes)
    votes = np.stack([((masks == c) & leaf).sum(axis=0) for c in range(labels.num_classes)])
    inside = (votes[labels.members("opacity")].sum(axis=0) > 0) & (votes.sum(axis=0) > 1)
    share = votes[:, inside] / votes[:, inside].sum(axis=0)
    nats = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=0)
    return float(nats.sum()), float((share.max(axis=0) == 1).sum()), int(inside.sum())


def measure_case(case: Case, mode: NDArray, aerated: float, labels: LabelSet) -> dict[str, Any]:
    """What one case adds."""
    masks, rated = case.stacked()
    rated = np.broadcast_to(rated, masks.shape)
    classes = labels.num_classes
    model = sum(confusion(m, mode, r, classes) for m, r in zip(masks, rated, strict=True))
    pairs = permutations(range(len(masks)), 2)
    raters = sum((confusion(masks[i], masks[j], rated[i] & rated[j], classes) for i, j in pairs), np.zeros_like(model))
    nats, agreed, voxels = entropy_of_raters(masks, rated, labels)
    drawn = [aerated_percent(m, r, labels) for m, r in zip(masks, rated, strict=True)]
    overlap = iou(VolumeStructures.of(labels).headline_overlap(mode, masks, rated))
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "site": case.site,
        "opacity_iou": _plain(mean_of_known(overlap)),
        "aerated": {"model": _plain(aerated), **dict(zip(case.masks, map(_plain, drawn), strict=True))},
        "confusion": {"model": np.asarray(model).tolist(), "raters": raters.tolist()},
        "raters": {"nats": nats, "agreed": agreed, "voxels": voxels},
    }


def _plain(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def model_aerated(predictions: Path) -> dict[str, float]:
    """Percent well-aerated lung of each case, the mean over draws: what is left of the lung beside opacity."""
    with (predictions / "volumes.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "opacity"]
    return {row["case_id"]: 100 - float(row["percent_of_lung"] or "nan") for row in rows}


def measure(predictions: Path, root: Path, out: Path) -> Mapping[str, Any]:
    """Every predicted case of a data set; written as JSON, classes in the order of the label set."""
    dataset = open_dataset(root)
    labels = dataset.info.labels
    found, aerated = predictions_of(predictions, dataset), model_aerated(predictions)
    cases = []
    for record in dataset.records:
        if record.case_id in found:
            case = dataset.load(record)
            mode = found[record.case_id].read(case.geometry, labels)
            cases.append(measure_case(case, mode, aerated.get(record.case_id, math.nan), labels))
    result = {"classes": list(labels.names), "cases": cases}
    write_text(out, json.dumps(result, allow_nan=False) + "\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path, help="JSON to write, opacity.json of the run folder for table.py")
    arguments = parser.parse_args()
    measure(arguments.predictions, arguments.dataset, arguments.out)


if __name__ == "__main__":
    main()
