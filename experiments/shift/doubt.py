"""Which doubt tells the other site: ``python doubt.py RUN... --draws 8 --near north --out doubt.csv``.

For every tested scan the mean of each map over what the model drew, grown by 5 mm, and by it the area under the ROC
curve for "this scan is of the other site", with the interval over patients.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from probseg.adapting.adapted_run import read_settings
from probseg.analysis.region import dilated
from probseg.analysis.uncertainty_split import split_sentence, split_table, uncertainty_split
from probseg.analysis.voxel_ranking import disagreement_counts
from probseg.data.datamodule import MultiRaterData
from probseg.distribution import Draws
from probseg.io.tables import write_csv
from probseg.models import load_model

MAPS = ("entropy", "epistemic", "ambiguity", "noise")


def scores_of(
    run: Path, dataset: Path, draws: int
) -> tuple[dict[str, NDArray], dict[str, NDArray], list[str], list[str]]:
    """Map to ``(scans,)`` means and to counts of voxels by dispute; sites and patients of the scans."""
    settings = read_settings(run)["data"]
    data = MultiRaterData(str(dataset), slices=bool(settings["slices"]))
    examples, model = data.examples("test"), load_model(run)
    classes = model.num_classes
    sums: dict[str, dict[str, NDArray]] = defaultdict(lambda: {name: np.zeros(2) for name in MAPS})
    counts: dict[str, dict[str, NDArray]] = defaultdict(dict)
    whose: dict[str, tuple[str, str]] = {}
    for k, entry in enumerate(examples.entries):
        example, scan = examples[k], entry.case_id.rsplit("/", 1)[0]
        with torch.no_grad():
            maps = model(example.image[None], Draws(draws)).maps()
        spacing = example.spacing_mm.tolist()
        region = dilated(maps.mode[0].numpy() > 0, None if np.isnan(spacing).any() else spacing)
        for name in MAPS:
            found = getattr(maps, name)[0].numpy()
            sums[scan][name] = sums[scan][name] + (found[region].sum(), region.sum())
            votes = disagreement_counts(found, example.masks.numpy(), classes, example.rated.numpy())
            counts[scan][name] = counts[scan].get(name, 0) + votes
        whose[scan] = (entry.site, examples.patient_ids[entry.patient])
    scans = sorted(whose)
    means = {name: np.array([sums[s][name][0] / max(sums[s][name][1], 1) for s in scans]) for name in MAPS}
    voxels = {name: np.stack([counts[s][name] for s in scans]) for name in MAPS}
    return means, voxels, [whose[s][0] for s in scans], [whose[s][1] for s in scans]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="dataset of both sites")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--near", required=True, help="site of the training")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    columns: tuple[str, ...] = ()
    for run in arguments.runs:
        means, voxels, sites, patients = scores_of(run, arguments.data, arguments.draws)
        figures = uncertainty_split(means, np.array(sites) != arguments.near, voxels, patients)
        table = split_table(figures)
        columns = ("run", *table.columns)
        rows += [(run.name, *row) for row in table.rows]
        print(f"{run.name}: {split_sentence(figures)}", flush=True)
    write_csv(arguments.out, columns, rows)


if __name__ == "__main__":
    main()
