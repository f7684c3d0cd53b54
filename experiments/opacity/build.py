"""The data sets of the study's phases, out of one whose classes bear the names of labels.yaml.

    python experiments/opacity/build.py groups synthetic data/groups
    python experiments/opacity/build.py lungs elsewhere data/lungs
    python experiments/opacity/build.py phase3 synthetic data/phase3
    python experiments/opacity/build.py eight-bit data/groups data/eight_bit --site west --shades -1250 250

``groups``: the five groups, HU clipped to -1000..50. ``lungs``: lung with or without opacity. ``phase3``: what the
rules of `probseg.importing.public.parenchyma` make of a CT and of what raters drew, HU clipped to -1000..350.
``eight-bit``: one site as another source would publish it, in 256 shades of a window of its own. Patients, splits,
raters and what was rated stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.importing.build import write_dataset
from probseg.importing.public import parenchyma
from probseg.importing.relabel import coarsened_labels, label_table, relabelled
from probseg.io.strict_yaml import read_yaml
from probseg.labels import LabelClass, LabelSet
from probseg.manifest import open_dataset
from probseg.records import Dataset, DatasetInfo

HERE = Path(__file__).parent
STUDY = LabelSet.from_dict(read_yaml(HERE / "labels.yaml"))
GROUPS = LabelSet.from_dict(read_yaml(HERE / "groups.yaml"))
LUNGS = LabelSet((LabelClass(0, "background"), LabelClass(1, "lung")), unknown=255)
PUBLISHED = ("other", "lung", "ground_glass", "crazy_paving", "consolidation")  # names of groups 0 to 4 in labels.yaml
WINDOW, WINDOW_3 = (-1000.0, 50.0), (-1000.0, 350.0)


def groups_of(labels: LabelSet) -> dict[str, str]:
    """The published group of each leaf class, by the names of groups.yaml."""
    found = {}
    for name in labels.names:
        group = next((k for k, g in enumerate(PUBLISHED) if name in STUDY.names and _within(name, g)), None)
        if group is None:
            raise ProbsegError("E_UNKNOWN_LABEL", f"'{name}' is no class of labels.yaml; import the data with it")
        found[name] = GROUPS.names[group]
    return found


def _within(name: str, group: str) -> bool:
    return bool(STUDY.members(group)[STUDY.names.index(name)])


def parenchyma_of(groups: NDArray) -> NDArray[np.int8]:
    """What a reader of phase 3 would have said, of a mask of group ids: ``(3, slices, rows, columns)`` of -1, 0 and 1.

    Lung and consolidation are drawn in full, so what is not drawn is ruled out. Ground glass and crazy paving are one
    thing, drawn where the reader is sure: the rest of the lung is left open, but in slices without any opacity, where
    it is ruled out.
    """
    glass = np.isin(groups, (2, 3))
    nothing = ~(groups >= 2).any(axis=(-2, -1), keepdims=True)
    said = np.where(glass, 1, np.where(nothing | (groups == 0), 0, -1))
    return np.stack([groups >= 1, said, groups == 4]).astype(np.int8)


def of_groups(dataset: Dataset) -> tuple[DatasetInfo, Callable[[Case, str], NDArray]]:
    table = label_table(dataset.info.labels, GROUPS, groups_of(dataset.info.labels))
    return replace(dataset.info, labels=GROUPS, window=WINDOW), coarsened_labels(table)


def of_lungs(dataset: Dataset) -> tuple[DatasetInfo, Callable[[Case, str], NDArray]]:
    groups = groups_of(dataset.info.labels)
    table = label_table(
        dataset.info.labels, LUNGS, {k: "background" if v == "background" else "lung" for k, v in groups.items()}
    )
    return replace(dataset.info, labels=LUNGS, window=WINDOW), coarsened_labels(table)


def of_phase3(dataset: Dataset) -> tuple[DatasetInfo, Callable[[Case, str], NDArray]]:
    table = label_table(dataset.info.labels, GROUPS, groups_of(dataset.info.labels))

    def read(case: Case, rater: str) -> NDArray:
        return parenchyma.phase3_labels(case.image, parenchyma_of(table[case.masks[rater]]))

    return replace(dataset.info, labels=parenchyma.LABELS, window=WINDOW_3), read


def eight_bit(dataset: Dataset, site: str, shades: tuple[float, float], out: Path, overwrite: bool) -> Path:
    """One site in 256 shades, spread over the window of the data set: what a model sees of shade s is s / 255.

    Nobody knows HU there, so the window is all that a user has to put the shades into.
    """
    low, high = shades
    first, last = dataset.info.window
    values = np.asarray(dataset.info.labels.values)

    def spread(hu: NDArray) -> NDArray[np.int16]:
        grey = np.rint(255 * np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1))
        return np.rint(first + grey * (last - first) / 255).astype(np.int16)

    info = replace(dataset.info, name=out.name)
    new = relabelled(dataset.select(sites=[site]), coarsened_labels(values), spread)
    return write_dataset(out, info, new, overwrite)


KINDS = {"groups": of_groups, "lungs": of_lungs, "phase3": of_phase3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=(*KINDS, "eight-bit"))
    parser.add_argument("source", help="data set folder; only read")
    parser.add_argument("out", type=Path, help="data set folder to write")
    parser.add_argument("--site", help="of eight-bit: the site that becomes another source")
    parser.add_argument("--shades", type=float, nargs=2, default=(-1250.0, 250.0), help="HU that are 0 and 255")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.source)
    if arguments.kind == "eight-bit":
        eight_bit(dataset, arguments.site, tuple(arguments.shades), arguments.out, arguments.overwrite)
    else:
        info, read = KINDS[arguments.kind](dataset)
        info = replace(info, name=arguments.out.name)
        write_dataset(arguments.out, info, relabelled(dataset, read), arguments.overwrite)
    written = open_dataset(arguments.out)
    print(f"{arguments.out}: {len(written)} cases, {', '.join(written.info.labels.names)}")


if __name__ == "__main__":
    main()
