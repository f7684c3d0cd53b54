"""A dataset under another label set: classes put together, groups and unknown translated, masks rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.importing.build import SourceCase, SourceReading
from probseg.labels import LabelSet
from probseg.records import CaseRecord, Dataset

__all__ = ["coarsened_labels", "label_table", "relabelled"]


def label_table(source: LabelSet, target: LabelSet, class_of: Mapping[str, str]) -> NDArray[np.uint16]:
    """The file value in the target for each dense label of the source.

    A label that allows several classes becomes the label of the target that allows what these become: a group whose
    classes are put together is that one class, a group of several is the target's group of the same.

    Args:
        source: the label set of the masks.
        target: the one that they get.
        class_of: name of each leaf class of the source to that of the target.

    Returns:
        ``(labels of the source,)``.

    Raises:
        ProbsegError: E_UNKNOWN_LABEL where a class has no target, or a group means classes that the target has no group
            with a value for.

    Example:
        >>> from probseg.labels import LabelClass
        >>> fine = LabelSet((LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")))
        >>> label_table(fine, LabelSet.binary("opacity"), {"background": "background", "glass": "opacity",
        ...             "solid": "opacity"}).tolist()
        [0, 1, 1]
    """
    missing = [name for name in source.names if class_of.get(name) not in target.names]
    if missing:
        raise ProbsegError(
            "E_UNKNOWN_LABEL",
            f"class '{missing[0]}' has no class to become; name one of {', '.join(target.names)} for it",
        )
    place = np.array([target.names.index(class_of[name]) for name in source.names])
    values = np.zeros(len(source.values), dtype=np.uint16)
    for label, allowed in enumerate(source.admissible):
        wanted = np.isin(np.arange(target.num_classes), place[allowed])
        same = np.flatnonzero((target.admissible == wanted).all(axis=1))
        if not len(same):
            names = [name for name, inside in zip(target.names, wanted, strict=True) if inside]
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"label '{source.label_names[label]}' may become {', '.join(names)}; declare a group of these with a "
                "value, or unknown, in the target's label set",
            )
        values[label] = target.values[same[0]]
    return values


def coarsened_labels(table: NDArray[np.uint16]) -> Callable[[Case, str], NDArray]:
    """What `relabelled` takes where the label of a voxel follows from the old one alone."""

    def read(case: Case, rater: str) -> NDArray:
        return table[case.masks[rater]]

    return read


def relabelled(
    dataset: Dataset,
    read: Callable[[Case, str], NDArray],
    image: Callable[[NDArray], NDArray] | None = None,
) -> Iterator[SourceCase]:
    """The cases of a dataset with other masks, for `probseg.importing.build.write_dataset`.

    Patients, sites, splits, raters, notes and what was rated stay. The image is kept as an array in its canonical
    orientation.

    Args:
        dataset: what is read, case by case.
        read: a case and the name of a rater to file values of the new label set, of the shape of the mask.
        image: changes the intensities, shape kept; None leaves them.
    """
    for record in dataset.records:
        case = dataset.load(record)
        changed = case.image if image is None else image(case.image)
        yield SourceCase(
            case.case_id,
            case.patient_id,
            case.site,
            changed,
            (),
            case.geometry,
            tuple(_readings(case, record, read)),
            split=record.split,
        )


def _readings(case: Case, record: CaseRecord, read: Callable[[Case, str], NDArray]) -> Iterator[SourceReading]:
    for reading in record.readings:
        rated = case.rated.get(reading.rater)
        yield SourceReading(reading.rater, read(case, reading.rater), "all" if rated is None else rated, reading.note)
