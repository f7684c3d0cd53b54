"""Whether predicted class probabilities match what the raters are known to say: ``python calibration.py RUN DATASET``.

The raters of the synthetic CT are simulated, so the chance of every class at every voxel is known in closed form
(`probseg.data.synthetic.rater_distribution`, kept in ``truth/CASE.npz``). Classwise ACE of the mean over draws is taken
on the test split, all cases together, against that distribution and against the masks that the raters happened to draw;
beside it stands that of the known distribution against the same masks, which is what chance alone leaves. Two regions:

- ``union``: foreground of any rater or of the prediction, grown by 5 mm. Lungs are foreground here.
- ``opacity``: the same of opacities only, where raters differ.

Writes calibration.csv and calibration.json into the run folder; table.py makes the page of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.analysis.calibration import classwise_gaps
from probseg.analysis.entropy import votes
from probseg.analysis.region import dilated, union_region
from probseg.case import Case
from probseg.distribution import Draws
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.models import SegmentationModule, load_model
from probseg.progress import followed
from probseg.records import Dataset

BINS = 15
REGIONS = ("union", "opacity")
COLUMNS = ("family", "metric", "region", "against", "class", "value", "low", "high", "n")


@dataclass(frozen=True)
class Voxels:
    """The voxels of a region, of one case or of several one after the other.

    Attributes:
        predicted: ``(classes, voxels)`` mean probabilities of the network.
        known: ``(classes, voxels)``: the chance that a rater drawn at random says so.
        hits: ``(classes, voxels)``: how many raters said so.
        case: ``(voxels,)``: the number of the case.
    """

    predicted: NDArray[np.float32]
    known: NDArray[np.float32]
    hits: NDArray[np.uint8]
    case: NDArray[np.intp]

    @classmethod
    def cat(cls, parts: list[Voxels]) -> Voxels:
        """Several cases as one."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(cls)))


@torch.inference_mode()
def predicted(model: SegmentationModule, image: NDArray, draws: Draws) -> NDArray[np.float32]:
    """Mean probabilities ``(classes, slices, rows, columns)`` of a scan in HU, slice by slice."""
    assert model.info is not None
    slices = torch.from_numpy(model.info.normalise(image))[:, None]
    return torch.cat([model(part, draws).mean for part in slices.split(2)]).movedim(1, 0).numpy()


def voxels_of(
    case: Case, number: int, mean: NDArray[np.float32], known: NDArray[np.float32], labels: LabelSet
) -> dict[str, Voxels]:
    """What is compared of a case in each region."""
    masks, rated = case.stacked()
    mode, opacity = mean.argmax(axis=0), labels.membership("opacity") == 1  # of each label
    drawn = (opacity[masks] & rated).any(axis=0) | opacity[mode]
    spacing = case.geometry.spacing
    hits = votes(masks, len(mean), rated).astype(np.uint8)
    inside = {
        "union": union_region(masks, mode, len(mean), rated, spacing),
        "opacity": dilated(drawn, spacing),
    }
    return {
        name: Voxels(mean[:, where], known[:, where], hits[:, where], np.full(where.sum(), number))
        for name, where in inside.items()
    }


def collected(model: SegmentationModule, dataset: Dataset, draws: Draws) -> dict[str, Voxels]:
    """The voxels of all cases of a dataset in each region."""
    assert dataset.path is not None
    parts: list[dict[str, Voxels]] = []
    for number, case in enumerate(followed(dataset, len(dataset))):
        with np.load(dataset.path / "truth" / f"{case.case_id}.npz") as truth:
            known = truth["distribution"]
        mean = predicted(model, case.image, draws)
        parts.append(voxels_of(case, number, mean, known, dataset.info.labels))
    return {name: Voxels.cat([part[name] for part in parts]) for name in REGIONS}


def interval(p: NDArray, hits: NDArray, trials: NDArray | None, case: NDArray[np.intp]) -> tuple[float, float]:
    """Ends of the 95 % interval of classwise ACE over patients (each has one case), the borders of the bins held."""
    weight = np.ones(p.shape[1]) if trials is None else trials
    cases = int(case.max()) + 1
    sums = np.empty((cases, len(p), BINS, 2))
    for c in range(len(p)):
        borders = np.quantile(p[c], np.linspace(0, 1, BINS + 1)[1:-1])
        cell = case * BINS + np.searchsorted(borders, p[c], side="right")
        for k, x in enumerate((p[c] * weight - hits[c], weight)):
            sums[:, c, :, k] = np.bincount(cell, x, cases * BINS).reshape(cases, BINS)

    def ace(total: NDArray[np.float64]) -> NDArray[np.float64]:
        off, mass = np.moveaxis(total.reshape(*total.shape[:-1], len(p), BINS, 2), -1, 0)
        return np.asarray((np.abs(off).sum(axis=-1) / mass.sum(axis=-1)).mean(axis=-1))

    found: Interval = bootstrap(sums.reshape(cases, -1), np.arange(cases), ace)
    return found.low, found.high


def rows_of(region: str, voxels: Voxels, labels: LabelSet) -> Iterator[tuple[object, ...]]:
    """A row for the mean over classes and one for each class, of every pair that is compared."""
    trials = voxels.hits.sum(axis=0).astype(np.float64)
    for family, against, p, hits, weight in (
        ("stochastic_segmentation", "distribution", voxels.predicted, voxels.known, None),
        ("stochastic_segmentation", "masks", voxels.predicted, voxels.hits, trials),
        ("known_distribution", "masks", voxels.known, voxels.hits, trials),
    ):
        gaps = classwise_gaps(p, hits, weight, BINS)
        n = len(np.unique(voxels.case))
        yield family, "ace", region, against, "mean", float(gaps.mean()), *interval(p, hits, weight, voxels.case), n
        for name, gap in zip(labels.names, gaps, strict=True):
            yield family, "ace", region, against, name, float(gap), None, None, n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of probseg fit")
    parser.add_argument("dataset", type=Path, help="of probseg import synthetic")
    parser.add_argument("--draws", type=int, default=64)
    arguments = parser.parse_args()
    model = load_model(arguments.run)
    dataset = open_dataset(arguments.dataset).select(splits=["test"])
    voxels = collected(model, dataset, Draws(arguments.draws))
    rows = [row for region in REGIONS for row in rows_of(region, voxels[region], dataset.info.labels)]
    write_csv(arguments.run / "calibration.csv", COLUMNS, rows)
    about = {"patients": len(dataset), "draws": arguments.draws, "bins": BINS}
    write_text(arguments.run / "calibration.json", json.dumps(about) + "\n")
    print(f"wrote {arguments.run / 'calibration.csv'}")


if __name__ == "__main__":
    main()
