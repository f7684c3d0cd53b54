"""What a dataset is made of: its description, the list of its cases, and the cases themselves when asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = ["SPLITS", "CaseRecord", "Dataset", "DatasetInfo", "Reading", "check_case_id"]

SPLITS = ("train", "validation", "calibration", "test")

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\]{1,100}")


def check_case_id(case_id: str) -> str:
    """A case id becomes a folder name, so it must be a safe one: returns it, or raises E_BAD_CASE_ID."""
    if not _NAME.fullmatch(case_id) or case_id in (".", "..") or case_id[0] in "-~ " or len(case_id.encode()) > 150:
        raise ProbsegError(
            "E_BAD_CASE_ID",
            f"case id {case_id[:40]!r} must be 1 to 100 characters without slash, backslash or control characters, "
            "and not start with '-', '~' or a space",
        )
    return case_id


@dataclass(frozen=True)
class DatasetInfo:
    """What a model needs to know of a dataset, in plain types; it travels inside every checkpoint.

    Attributes:
        name: of the dataset.
        dimensions: 2 for single images, 3 for volumes.
        labels: the label set.
        window: intensities mapped to 0 and 1, clipped outside; HU for CT.
        stable_raters: whether a rater's name is the same person in every case. Where not, nothing is learnt or
            reported of a single rater.
        note: a sentence that reports show, for example an attribution.
        annotations_only: whether the source had no images. Agreement can be measured; a model cannot be fitted.
        raters: names of the raters that a model learns from, where they are stable; a rater's number in a batch is the
            position here. Empty where nobody has listed them, as in ``dataset.yaml``, whose raters stand in its cases.
        repeats: pairs of a rater's name and the person whose repeated reading it is, such as ``("anna-2", "anna")``. A
            person counts once among raters, and is compared with themselves.
        channels: names of the channels of an image, such as the sequences of a magnetic resonance scan. Empty where an
            image has one and no axis for it. For single images only.
    """

    name: str
    dimensions: int
    labels: LabelSet
    window: tuple[float, float]
    stable_raters: bool = True
    note: str = ""
    annotations_only: bool = False
    raters: tuple[str, ...] = ()
    repeats: tuple[tuple[str, str], ...] = ()
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.dimensions, int) or self.dimensions not in (2, 3):
            raise ProbsegError("E_SCHEMA", "dimensions must be 2 or 3")
        low, high = self.window
        if not (np.isfinite([low, high]).all() and low < high):
            raise ProbsegError("E_SCHEMA", f"window must be two rising numbers, but is {[low, high]}")
        if len(set(self.raters)) < len(self.raters) or (self.raters and not self.stable_raters):
            raise ProbsegError("E_SCHEMA", f"dataset '{self.name}' can list stable raters only, and each of them once")
        self._check_repeats()
        if self.channels and (self.dimensions != 2 or len(set(self.channels)) < len(self.channels)):
            raise ProbsegError(
                "E_SCHEMA", f"channels of dataset '{self.name}' must be those of single images, each named once"
            )

    def _check_repeats(self) -> None:
        people = {person for _, person in self.repeats}
        if self.repeats and not self.stable_raters:
            raise ProbsegError(
                "E_SCHEMA", "raters that are not stable are nobody, so none can repeat another's reading"
            )
        for rater, person in self.repeats:
            if rater == person or rater in people:
                raise ProbsegError(
                    "E_SCHEMA",
                    f"rater '{rater}' is given as a repeat of '{person}' and as a person; name each repeat once, and "
                    "the first reading as the person",
                )

    def person(self, rater: str) -> str:
        """Who the rater of this name is: the person whose reading is repeated, or the rater."""
        return dict(self.repeats).get(rater, rater)

    def normalise(self, image: NDArray) -> NDArray[np.float32]:
        """Intensities to 0..1 through the window, clipped."""
        low, high = self.window
        scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
        return np.clip(scaled, 0.0, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, the layout of ``dataset.yaml``."""
        out: dict[str, Any] = {
            "name": self.name,
            "dimensions": self.dimensions,
            "labels": self.labels.to_dict(),
            "window": [float(v) for v in self.window],
            "raters": {"stable": self.stable_raters, **({"names": list(self.raters)} if self.raters else {})},
        }
        if self.repeats:
            out["raters"]["repeats"] = dict(self.repeats)
        out |= {"channels": list(self.channels)} if self.channels else {}
        out |= {"note": self.note} if self.note else {}
        return out | ({"annotations_only": True} if self.annotations_only else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "dataset.yaml") -> DatasetInfo:
        """The inverse of `to_dict`; E_SCHEMA names a key that is missing or does not belong."""
        keys = ("name", "dimensions", "labels", "window", "raters", "channels", "note", "annotations_only", "stack")
        strange = sorted(set(data) - set(keys))
        if strange:
            raise ProbsegError("E_SCHEMA", f"{where} has no key '{strange[0]}'; the keys are {', '.join(keys)}")
        missing = [k for k in keys[:4] if k not in data]
        if missing:
            raise ProbsegError("E_SCHEMA", f"{where} must have the key '{missing[0]}'")
        window = data["window"]
        if not isinstance(window, list | tuple) or len(window) != 2 or not all(_is_number(v) for v in window):
            raise ProbsegError("E_SCHEMA", f"window in {where} must be two numbers")
        if not all(isinstance(data.get(key, ""), str) for key in ("name", "note")):
            raise ProbsegError("E_SCHEMA", f"name and note in {where} must be texts; put them in quotes")
        if not isinstance(data.get("annotations_only", False), bool):
            raise ProbsegError("E_SCHEMA", f"annotations_only in {where} must be true or false")
        if not isinstance(data["labels"], Mapping):
            raise ProbsegError("E_SCHEMA", f"labels in {where} must be a mapping with classes")
        channels = data.get("channels", [])
        if not isinstance(channels, list | tuple) or not all(isinstance(name, str) and name for name in channels):
            raise ProbsegError("E_SCHEMA", f"channels in {where} must be a list of texts; put names in quotes")
        stable, names, repeats = _raters(data.get("raters"), where)
        return cls(
            data["name"],
            data["dimensions"],
            LabelSet.from_dict(data["labels"]),
            (float(window[0]), float(window[1])),
            stable,
            data.get("note", ""),
            data.get("annotations_only", False),
            names,
            repeats,
            tuple(channels),
        )


def _raters(data: Any, where: str) -> tuple[bool, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The block ``raters``: whether they are stable, their names, and whose repeats they are."""
    raters = {} if data is None else data
    if (
        not isinstance(raters, Mapping)
        or not isinstance(raters.get("stable", True), bool)
        or set(raters) - {"stable", "names", "repeats"}
    ):
        raise ProbsegError(
            "E_SCHEMA", f"raters in {where} has the keys 'stable', true or false, and 'repeats', rater to rater"
        )
    names = raters.get("names", [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise ProbsegError("E_SCHEMA", f"names of raters in {where} must be a list of texts")
    repeats = raters.get("repeats", {})
    if not isinstance(repeats, Mapping) or not all(isinstance(x, str) and x for pair in repeats.items() for x in pair):
        raise ProbsegError("E_SCHEMA", f"repeats of raters in {where} must map texts to texts, such as anna-2: anna")
    return raters.get("stable", True), tuple(names), tuple(repeats.items())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Reading:
    """One rater's mask of one case; ``rated`` is ``all``, a list of slices such as ``0-5;9``, or a mask file.

    ``note`` says what was done to the mask on its way into the dataset.
    """

    rater: str
    mask: str
    rated: str = "all"
    note: str = ""


@dataclass(frozen=True)
class CaseRecord:
    """One case as the manifest lists it, not yet read; ``image`` is empty where there are annotations only."""

    case_id: str
    patient_id: str
    site: str
    split: str
    image: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Dataset:
    """The cases of a dataset; reading one is left to ``loader`` until it is asked for.

    Iterating yields cases, so that whatever takes cases takes a dataset.
    """

    info: DatasetInfo
    records: tuple[CaseRecord, ...]
    loader: Callable[[CaseRecord], Case]
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Case]:
        return (self.load(record) for record in self.records)

    def load(self, record: CaseRecord) -> Case:
        """Read one case."""
        return self.loader(record)

    def select(
        self, splits: Collection[str] | None = None, sites: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> Dataset:
        """The part of the dataset in these splits and at these sites, without the raters in ``exclude``.

        Raises:
            ProbsegError: E_NO_CASES when nothing is left, E_UNKNOWN_RATER when an excluded rater does not exist,
                E_UNKNOWN_SITE when a site does not.
        """
        foreign = set(sites or ()) - set(self.sites)
        if foreign:
            raise ProbsegError(
                "E_UNKNOWN_SITE",
                f"dataset '{self.info.name}' has no site '{min(foreign)}'; its sites are "
                f"{', '.join(self.sites) or 'not named'}",
            )
        strange = set(exclude) - set(self.raters)
        if strange:
            raise ProbsegError(
                "E_UNKNOWN_RATER", f"no rater is called '{min(strange)}'; there are {', '.join(self.raters)}"
            )
        kept = [
            replace(r, readings=tuple(x for x in r.readings if x.rater not in exclude))
            for r in self.records
            if (splits is None or r.split in splits) and (sites is None or r.site in sites)
        ]
        if not kept:
            have = ", ".join(sorted({r.split for r in self.records if r.split})) or "none"
            raise ProbsegError(
                "E_NO_CASES",
                f"dataset '{self.info.name}' has no case with split {sorted(splits or [])} and site "
                f"{sorted(sites or [])}; its splits are {have}",
            )
        return replace(self, records=tuple(kept))

    def with_known_raters(self, split: str = "train", sites: Collection[str] | None = None) -> Dataset:
        """The dataset whose description lists, sorted, the raters of one split, from whom a model can learn.

        A repeated reading is its person's. Every rater of the dataset where the split has no case; nobody where the
        raters are not stable.
        """
        if not self.info.stable_raters:
            return self
        of_split = [r for r in self.records if r.split == split and (sites is None or r.site in sites)]
        names = {self.info.person(x.rater) for r in of_split or self.records for x in r.readings}
        return replace(self, info=replace(self.info, raters=tuple(sorted(names))))

    def require_images(self) -> Dataset:
        """The dataset itself; E_NO_IMAGE where it holds annotations only."""
        if self.info.annotations_only:
            raise ProbsegError(
                "E_NO_IMAGE",
                f"dataset '{self.info.name}' holds annotations without images; the agreement of its raters can be "
                "measured, but no model can see its cases",
            )
        return self

    @property
    def raters(self) -> tuple[str, ...]:
        """Every rater's name, in order of first appearance."""
        return tuple(dict.fromkeys(x.rater for r in self.records for x in r.readings))

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site once, sorted; one without name where the dataset does not say."""
        return tuple(sorted({r.site for r in self.records}))

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({r.patient_id for r in self.records}))
