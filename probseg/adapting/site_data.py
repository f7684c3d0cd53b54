"""The cases of a new site: which may be used, their images without masks, and with masks as a training sees them."""

from __future__ import annotations

import math
from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError
from probseg.progress import followed
from probseg.records import CaseRecord, Dataset, DatasetInfo

__all__ = ["SiteData", "choose_cases", "patients_of"]

_WINDOW = (32, 128, 128)  # of what a 3-D network sees where its training cropped nothing


def choose_cases(
    dataset: Dataset, site: str, splits: Sequence[str], patients: int | None, seed: int
) -> tuple[CaseRecord, ...]:
    """All cases of some patients of a site, in the order of the dataset.

    Args:
        dataset: with splits.
        site: where they come from.
        splits: to which they may belong; not ``test``.
        patients: how many patients; None for all of these splits. Those of a smaller number are among those of a larger
            one of the same seed.
        seed: that orders the patients.

    Raises:
        ProbsegError: E_UNKNOWN_SITE; E_NO_CASES where these splits have no case of the site; E_USAGE where there are
            fewer patients than asked for, or ``test`` is among the splits; E_SPLIT_LEAK where one of the patients has
            a test case at any site.
    """
    if "test" in splits or not splits:
        raise ProbsegError("E_USAGE", "a model is adapted with cases that it is not tested on; leave out split test")
    found = [r for r in dataset.select(sites=[site]).records if r.split in splits]
    if not found:
        raise ProbsegError(
            "E_NO_CASES",
            f"site '{site}' of dataset '{dataset.info.name}' has no case with split {' or '.join(splits)}; deal its "
            "patients with probseg split, or name other splits with --split",
        )
    tested = {r.patient_id for r in dataset.records if r.split == "test"}
    leaks = sorted({r.patient_id for r in found} & tested)
    if leaks:
        raise ProbsegError(
            "E_SPLIT_LEAK", f"patient '{leaks[0]}' has cases in test and in {' or '.join(splits)}; split by patient"
        )
    names = sorted({r.patient_id for r in found})
    if patients is not None and not 1 <= patients <= len(names):
        raise ProbsegError(
            "E_USAGE",
            f"--cases {patients} must lie between 1 and the {len(names)} patients of site '{site}' with split "
            f"{' or '.join(splits)}",
        )
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(names))
    kept = {names[k] for k in order[:patients]}
    return tuple(r for r in found if r.patient_id in kept)


def patients_of(records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Every patient once, sorted."""
    return tuple(sorted({r.patient_id for r in records}))


@dataclass(frozen=True)
class SiteData:
    """What a method may see of a new site.

    Attributes:
        dataset: all of it.
        records: the cases to adapt with.
        settings: arguments of `MultiRaterData` with which the model was trained, for the new site.
    """

    dataset: Dataset
    records: tuple[CaseRecord, ...]
    settings: Mapping[str, Any]

    def images(self, info: DatasetInfo, axes: int, limit: int, seed: int) -> list[Tensor]:
        """Images alone, ``(channels, *space)`` normalised to 0..1; no mask is read, nor the store, which holds masks.

        Every scan gives about equally many: whole slices for a 2-D network, and for a 3-D network windows of the size
        of its training patches, anywhere.

        Args:
            info: of the model, whose window normalises.
            axes: 2 or 3, which the network takes.
            limit: how many at most.
            seed: that draws them.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        records = list(self.records)
        if len(records) > limit:
            records = [records[k] for k in np.sort(rng.choice(len(records), limit, replace=False))]
        each = math.ceil(limit / len(records))
        found: list[Tensor] = []
        for record in followed(records, len(records), "scans"):
            case = self.dataset.load(replace(record, readings=()))
            image = torch.from_numpy(info.normalise(case.image))
            image = image if image.ndim > case.geometry.dimensions else image[None]  # (channels, *space)
            if case.geometry.dimensions == axes == 2:
                found.append(image)
            elif axes == 2:
                slices = np.sort(rng.permutation(image.shape[1])[:each])
                found += [image[:, int(k)].clone() for k in slices]
            else:
                found += [_window(image, self.settings.get("crop") or _WINDOW, rng) for _ in range(each)]
        if len(found) > limit:
            found = [found[k] for k in np.sort(rng.choice(len(found), limit, replace=False))]
        return found

    def labelled(self, split: str, seed: int) -> MultiRaterData:
        """The data module of the model's training, in which the chosen cases, and no others, make up ``split``.

        Args:
            split: ``train``, whose examples are cropped and changed, or another, whose examples are whole.
            seed: of the order of the examples and of their changes.

        Raises:
            ProbsegError: E_SCHEMA where the settings are none of `MultiRaterData`.
        """
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(MultiRaterData, "data")
        try:
            data = parser.instantiate(parser.parse_object({"data": {**self.settings, "seed": seed}})).data
        except (ArgumentError, ArgumentTypeError, TypeError, ValueError) as error:
            if isinstance(error.__cause__, ProbsegError):
                raise error.__cause__ from error
            raise ProbsegError("E_SCHEMA", f"the run's settings of data are not valid: {str(error)[:300]}") from error
        assert isinstance(data, MultiRaterData)
        chosen = {r.case_id for r in self.records}
        # All records stay, for a store is of the whole dataset.
        records = tuple(replace(r, split=split if r.case_id in chosen else "") for r in data.dataset.records)
        data.dataset = replace(data.dataset, records=records)
        return data


def _window(image: Tensor, size: Sequence[int], rng: np.random.Generator) -> Tensor:
    """A part of a volume ``(channels, slices, rows, columns)`` anywhere in it, no larger than the volume."""
    for axis, length in enumerate(size, start=1):
        kept = min(length, image.shape[axis])
        image = image.narrow(axis, int(rng.integers(image.shape[axis] - kept + 1)), kept)
    return image.clone()
