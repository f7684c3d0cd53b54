"""Synthetic cases: a chest, its opacities, a scan of it, and what raters with known habits draw on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.data.synthetic.lesions import Lesion, place_lesions, render, settle
from probseg.data.synthetic.phantom import make_anatomy
from probseg.data.synthetic.raters import RaterModel, default_raters, rater_distribution
from probseg.data.synthetic.scanner import DEFAULT_SITES, Site
from probseg.errors import ProbsegError

__all__ = ["SyntheticCase", "generate"]


@dataclass(frozen=True, eq=False)
class SyntheticCase:
    """A case of which everything is known.

    Attributes:
        case: what a reader of files would see: image in HU (int16), masks, rated, geometry.
        truth: ``(slices, rows, columns)`` true dense labels.
        distribution: ``(classes, slices, rows, columns)`` float32: the chance that a rater of the population calls the
            voxel so, see `rater_distribution`.
        lesions: the opacities, in the order in which they were laid.
    """

    case: Case
    truth: NDArray[np.uint8]
    distribution: NDArray[np.float32]
    lesions: list[Lesion]


def generate(
    num_cases: int,
    seed: int = 0,
    sites: Sequence[Site] = DEFAULT_SITES,
    raters: Sequence[RaterModel] | None = None,
    shape: tuple[int, int, int] = (24, 128, 128),
) -> Iterator[SyntheticCase]:
    """Make cases one by one, each a patient of its own; case k comes from ``sites[k % len(sites)]``.

    Every case has its own random streams, one for the scan and one for each rater, so case k of a seed is the same
    whatever the number of cases, and a rater's masks do not depend on the raters behind.

    Args:
        num_cases: how many, at least 1.
        seed: not negative.
        sites: at least one, names different.
        raters: the population, names different; every rater reads every case. None means `default_raters`.
        shape: ``(slices, rows, columns)``, at least (2, 32, 32).

    Raises:
        ProbsegError: E_USAGE when an argument is out of its range.
    """
    raters = default_raters() if raters is None else tuple(raters)
    _check(num_cases, seed, sites, raters, shape)
    return (_make(k, seed, sites[k % len(sites)], raters, shape) for k in range(num_cases))


def _check(
    num_cases: int, seed: int, sites: Sequence[Site], raters: Sequence[RaterModel], shape: tuple[int, int, int]
) -> None:
    least = (2, 32, 32)
    rules = [
        (num_cases >= 1, f"the number of cases must be at least 1, but is {num_cases}"),
        (seed >= 0, f"seed must not be negative, but is {seed}"),
        (
            len(shape) == 3 and all(a >= b for a, b in zip(shape, least, strict=False)),
            f"shape must be slices, rows and columns of at least {least}, but is {tuple(shape)}",
        ),
    ]
    for kind, items in (("site", sites), ("rater", raters)):
        names = [x.name for x in items]
        rules.append((len(names) >= 1, f"there must be at least one {kind}"))
        rules.append((len(set(names)) == len(names), f"every {kind} must have a name of its own, but they are {names}"))
    for holds, rule in rules:
        if not holds:
            raise ProbsegError("E_USAGE", rule)


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _make(
    index: int, seed: int, site: Site, raters: Sequence[RaterModel], shape: tuple[int, int, int]
) -> SyntheticCase:
    rng = _stream(seed, index, 0)
    geometry = site.geometry(rng, shape)
    anatomy = make_anatomy(rng, geometry)
    drafts = place_lesions(rng, anatomy.lungs, anatomy.depth_mm, geometry, site.patterns(rng))
    lesions = settle(drafts, anatomy.lungs, geometry)
    added, dense = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    truth = anatomy.lungs.copy()
    for lesion in lesions:
        lesion_hu, lesion_dense = render(rng, lesion, anatomy.lungs, anatomy.aerated, geometry)
        added[lesion.region] += lesion_hu
        dense[lesion.region] += lesion_dense
        truth[lesion.region][lesion.mask] = lesion.label
    image = site.acquire(rng, anatomy.compose(added, dense), geometry)
    masks, rated = {}, {}
    for k, rater in enumerate(raters):
        masks[rater.name], looked = rater.read(_stream(seed, index, 1, k), anatomy.lungs, lesions, geometry)
        if looked is not None:
            rated[rater.name] = looked
    name = f"{index:04d}"
    case = Case(f"case-{name}", f"patient-{name}", site.name, image, masks, geometry, rated)
    return SyntheticCase(case, truth, rater_distribution(raters, anatomy.lungs, lesions), lesions)
