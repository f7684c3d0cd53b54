"""``probseg import qubiq``: one task of a dataset of QUBIQ, with the masks of however many raters there are.

QUBIQ 2020 and 2021 (Li et al. 2024, arXiv:2405.18435) release a folder a dataset, such as ``brain-growth``, in it
``Training`` or ``Validation`` or neither, and a folder a case with ``image.nii.gz`` and ``task01_seg01.nii.gz``: what
the first rater drew for the first task. Datasets and tasks differ in the number of raters; an image of ``brain-tumor``
holds four sequences; ``pancreas`` and ``pancreatic-lesion`` are volumes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from probseg.case import Geometry
    from probseg.importing.build import SourceCase
    from probseg.importing.challenges.folders import CaseFolder
    from probseg.importing.found_values import FoundValues

DESCRIPTION = "QUBIQ: one task of one dataset, a folder a case, any number of raters and channels."
EXAMPLE = "probseg import qubiq training/prostate validation/prostate --task 1 --out qubiq-prostate-1"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_MASK = re.compile(r"(?:task(\d+)|case[\d-]*)_seg(\d+)\.nii(?:\.gz)?")
_NOTE = "QUBIQ, Li et al. (2024), arXiv:2405.18435"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="FOLDER", help="the folder of one dataset, of each part of the release"
    )
    parser.add_argument("--task", type=int, metavar="N", help="which task (default: the one there is)")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", help="name of the dataset (default: QUBIQ with folder and task)")
    parser.add_argument("--structure", metavar="NAME", help="name of what is drawn (default: folder and task)")
    parser.add_argument(
        "--foreground",
        type=int,
        default=1,
        metavar="VALUE",
        help="of the structure in the masks, beside 0 (default: 1)",
    )
    parser.add_argument(
        "--channels", nargs="+", metavar="NAME", help="names of an image's channels (default: channel-1 and so on)"
    )
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="intensities shown as black and white, such as -160 240 for CT (default: of each image and channel by "
        "itself its percentiles 0.5 and 99.5, to which it is scaled)",
    )
    parser.add_argument(
        "--validation",
        type=float,
        default=0.15,
        metavar="SHARE",
        help="of the patients of Training, chosen by the hash of their names, to validate with; what is released as "
        "Validation is the test, for the challenge's own was not released (default: 0.15)",
    )
    parser.add_argument("--stable-raters", action="store_true", help="seg01 is the same person in every case")


def run(args: argparse.Namespace) -> int:
    """Import, then say which values the masks hold, and what was written."""
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.challenges.folders import drawn_cases, find_cases, tell_unused
    from probseg.importing.found_values import FoundValues
    from probseg.importing.summary import tell
    from probseg.labels import LabelSet
    from probseg.progress import followed
    from probseg.records import DatasetInfo

    check_output(args.out, args.overwrite)
    folders = find_cases(args.sources)
    collection = _collection(folders)
    task = _task(drawn_cases(folders, lambda case: _masks(case, None), "task01_seg01.nii.gz"), args.task)
    drawn = drawn_cases(folders, lambda case: _masks(case, task), f"task{task:02d}_seg01.nii.gz")
    tell_unused(drawn, _MASK, f"task{task:02d}_seg01.nii.gz")
    structure = args.structure or f"{collection}-{task}"
    dimensions, channels = _channels(drawn[0], task, args.channels)
    window = None if args.window is None else (float(args.window[0]), float(args.window[1]))
    labels = LabelSet.binary(structure)
    info = DatasetInfo(
        args.name or f"QUBIQ {collection} task {task}",
        dimensions,
        labels,
        window or (0.0, 1.0),
        args.stable_raters,
        _NOTE,
        channels=channels,
    )
    found = FoundValues({0: "background", args.foreground: structure})
    reader = _Reader(task, args.foreground, found, window is None, len(channels), _splits(drawn, args.validation))
    reader.tell_splits()
    folder = write_dataset(args.out, info, map(reader.case, followed(drawn, len(drawn))), args.overwrite)
    for line in found.lines():
        print(line)
    return tell(folder)


def _masks(case: CaseFolder, task: int | None) -> dict[tuple[int, int], Path]:
    """The masks of a case by task and rater; a name without a task means the first."""
    found = ((_MASK.fullmatch(p.name), p) for p in case.others)
    named = {(int(match[1] or 1), int(match[2])): p for match, p in found if match}
    return {key: named[key] for key in sorted(named) if task is None or key[0] == task}


def _collection(cases: Sequence[CaseFolder]) -> str:
    """Name of the dataset; E_USAGE where one source holds several."""
    from probseg.errors import ProbsegError

    for source in dict.fromkeys(case.source for case in cases):
        names = sorted({case.collection for case in cases if case.source == source})
        if len(names) > 1:
            raise ProbsegError(
                "E_USAGE",
                f"'{source}' holds the datasets {', '.join(names)}; give the folder of one, such as '{names[0]}'",
            )
    return cases[0].collection


def _task(cases: Sequence[CaseFolder], wanted: int | None) -> int:
    """The task; E_USAGE where there are several and none is named, or not the one that is."""
    from probseg.errors import ProbsegError

    tasks = sorted({task for case in cases for task, _ in _masks(case, None)})
    if wanted is None and len(tasks) > 1:
        raise ProbsegError("E_USAGE", f"there are the tasks {', '.join(map(str, tasks))}; choose one with --task")
    if wanted is not None and wanted not in tasks:
        raise ProbsegError("E_USAGE", f"--task {wanted} is none of the tasks {', '.join(map(str, tasks))}")
    return tasks[0] if wanted is None else wanted


def _splits(cases: Sequence[CaseFolder], share: float) -> dict[str, str]:
    """Patient to split: see ``--validation``."""
    from probseg.errors import ProbsegError

    if not 0 <= share < 1:
        raise ProbsegError("E_USAGE", f"--validation must be a share from 0 to less than 1, but is {share:g}")
    parts = {_patient(case): case.part for case in cases}
    training = sorted(
        (p for p, part in parts.items() if part == "train"), key=lambda p: hashlib.sha256(p.encode()).hexdigest()
    )
    held = set(training[: max(1, round(share * len(training)))] if share and len(training) > 1 else [])
    goal = {"train": "train", "validation": "test", "test": "test", "": ""}
    return {patient: "validation" if patient in held else goal[part] for patient, part in parts.items()}


def _patient(case: CaseFolder) -> str:
    """``case1-2`` is the second image of ``case1``."""
    return re.sub(r"-\d+$", "", case.name)


def _channels(case: CaseFolder, task: int, names: Sequence[str] | None) -> tuple[int, tuple[str, ...]]:
    """Dimensions and names of channels, none for one channel, as the first case has them."""
    from probseg.errors import ProbsegError

    plane, image = (_voxels(path) for path in (next(iter(_masks(case, task).values())), case.image))
    if plane.ndim == 3:
        dimensions, count = 3, 1
    else:
        dimensions, count = 2, 1 if image.ndim < 3 else len(image)
    if names is not None and len(names) != count:
        raise ProbsegError(
            "E_USAGE", f"--channels names {len(names)}, but the image of case '{case.name}' has {count} channels"
        )
    if count == 1:
        return dimensions, ()
    return dimensions, tuple(names or (f"channel-{k}" for k in range(1, count + 1)))


def _voxels(path: Path) -> NDArray:
    """Voxels without axes of length one: programs differ in whether an image of one slice has a third."""
    from probseg.io import nifti

    return nifti.read_voxels(path).squeeze()


@dataclass(frozen=True)
class _Reader:
    task: int
    foreground: int
    found: FoundValues
    scaled: bool
    channels: int
    splits: dict[str, str]

    def tell_splits(self) -> None:
        """How many patients each split gets."""
        counts = Counter(split or "no split" for split in self.splits.values())
        print("patients: " + ", ".join(f"{count} {split}" for split, count in sorted(counts.items())))

    def case(self, case: CaseFolder) -> SourceCase:
        """One case of two or three dimensions."""
        from probseg.importing.build import SourceCase, SourceReading
        from probseg.io import read_image, read_mask

        paths = _masks(case, self.task)
        first = _voxels(next(iter(paths.values())))
        stored: Geometry | None = None
        if first.ndim == 3:
            image, geometry, stored = read_image(case.image)
        else:
            image, geometry = self._plane(case, first.shape)
        readings = []
        for (_, rater), path in paths.items():
            what = f"{path.name} of case '{case.name}'"
            mask = read_mask(path, geometry, what) if first.ndim == 3 else _voxels(path)
            drawn = self.found.whole(mask, what) == self.foreground
            readings.append(SourceReading(f"rater-{rater}", drawn.astype("uint8")))
        patient = _patient(case)
        return SourceCase(
            case.name, patient, "", self._scale(image), (), geometry, tuple(readings), stored, self.splits[patient]
        )

    def _plane(self, case: CaseFolder, shape: tuple[int, ...]) -> tuple[NDArray, Geometry]:
        """Rows and columns, after channels, as the file has them; the sizes of pixels are not documented."""
        import numpy as np

        from probseg.case import Geometry
        from probseg.errors import ProbsegError

        image = _voxels(case.image)
        wanted = (self.channels, *shape) if self.channels else shape
        if image.shape != wanted:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"the image of case '{case.name}' has the voxels {image.shape}, but its masks and the first case ask "
                f"for {wanted}",
            )
        if not np.isfinite(image).all():
            raise ProbsegError("E_NONFINITE", f"'{case.image}' has voxels that are NaN or infinite; repair it")
        return image, Geometry(shape, None)

    def _scale(self, image: NDArray) -> NDArray:
        """Percentiles 0.5 and 99.5 of each channel to 0 and 1, where no window was given; constant channels to 0."""
        import numpy as np

        if not self.scaled:
            return image
        channels = image if self.channels else image[None]
        out = np.zeros(channels.shape, dtype=np.float32)
        for k, channel in enumerate(channels):
            low, high = np.percentile(channel, [0.5, 99.5])
            if high > low:
                out[k] = (channel - low) / (high - low)
        return out if self.channels else out[0]
