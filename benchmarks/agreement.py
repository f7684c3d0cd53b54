"""Raters compared: STAPLE, kappa and alpha, surface distances, each against those who do the same; then whole cases."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scan_of_raters import SPACING_MM, lesion_pairs, lesions, scan, small_cases
from scipy import ndimage
from timing import Comparison, compare, main

from probseg import analysis
from probseg.analysis.agreement import merge
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.measuring import measure


def staple() -> Iterator[Comparison]:
    """512 x 512 x 60, five raters, to the probability of every voxel."""
    import SimpleITK as sitk

    masks = lesions(5)
    images = [sitk.GetImageFromArray(m) for m in masks]

    def theirs() -> NDArray:
        reader = sitk.STAPLEImageFilter()
        reader.SetForegroundValue(1)
        return sitk.GetArrayFromImage(reader.Execute(images))

    def equal(ours: NDArray, peer: NDArray) -> bool:
        return bool(np.abs(ours - peer).max() <= 1e-6)

    yield compare(
        "staple", lambda: analysis.staple(masks).probability[1], theirs, "SimpleITK STAPLEImageFilter", equal, 5
    )


def kappa_alpha() -> Iterator[Comparison]:
    """Four million voxels of four raters and four classes, both figures."""
    import krippendorff
    from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 4_000_000).astype(np.uint8)
    masks = np.stack(
        [np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(0, 4, truth.shape)) for _ in range(4)]
    )
    masks = masks.astype(np.uint8)

    def theirs() -> tuple[float, float]:
        counts = aggregate_raters(masks.T, n_cat=4)[0]  # the slow part; both take their figure from it
        return fleiss_kappa(counts), krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")

    def equal(ours: tuple[float, float], peer: tuple[float, float]) -> bool:
        return bool(np.allclose(ours, peer, rtol=0.0, atol=1e-9))

    name = "statsmodels aggregate_raters, fleiss_kappa and krippendorff.alpha"
    yield compare("kappa_alpha", lambda: analysis.kappa_and_alpha(masks, 4), theirs, name, equal, 5)


def _by_definition(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[float, float]:
    """MONAI's and medpy's 95th percentiles by erosion and distance transform, in a box around both masks."""
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    a, b = np.pad(a[box], 1), np.pad(b[box], 1)
    rims = [m & ~ndimage.binary_erosion(m) for m in (a, b)]
    ways = [ndimage.distance_transform_edt(~rims[1 - k], sampling=SPACING_MM)[rims[k]] for k in (0, 1)]
    return max(float(np.percentile(d, 95)) for d in ways), float(np.percentile(np.concatenate(ways), 95))


def surfaces() -> Iterator[Comparison]:
    """The 95th percentile of three small lesions, each as two raters drew it, in 512 x 512 x 60."""
    import surface_distance as google
    import torch
    from monai.metrics import compute_hausdorff_distance

    torch.set_num_threads(1)
    pairs = lesion_pairs()
    tensors = [[torch.from_numpy(np.stack([~m, m])[None]) for m in pair] for pair in pairs]
    # Ours are first held against the definition itself.
    defined = [_by_definition(*pair) for pair in pairs]
    mine = [
        (analysis.surface_distance(*p, SPACING_MM), analysis.surface_distance(*p, SPACING_MM, pooled=True))
        for p in pairs
    ]
    proven = bool(np.allclose(mine, defined, rtol=0.0, atol=1e-6))

    def ours() -> list[float]:
        return [analysis.surface_distance(a, b, SPACING_MM) for a, b in pairs]

    def monai() -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"include_background": False, "percentile": 95, "spacing": SPACING_MM}
            return [float(compute_hausdorff_distance(a, b, **options)) for a, b in tensors]

    def by_google() -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [google.compute_surface_distances(a, b, SPACING_MM) for a, b in pairs]
        return [google.compute_robust_hausdorff(distances, 95) for distances in found]

    def equal(one: list[float], other: list[float]) -> bool:
        return proven and bool(np.allclose(one, other, rtol=0.0, atol=1e-6))

    def within_a_voxel(one: list[float], other: list[float]) -> bool:
        """Theirs weighs by area on a mesh between voxels: another figure, here within a voxel's diagonal of ours."""
        return proven and bool(np.allclose(one, other, rtol=0.0, atol=math.hypot(*SPACING_MM)))

    yield compare("surface_monai", ours, monai, "MONAI compute_hausdorff_distance", equal)
    apart = max(abs(a - b) for a, b in zip(ours(), by_google(), strict=True))
    found = compare("surface_google", ours, by_google, "surface-distance compute_robust_hausdorff", within_a_voxel)
    yield replace(found, further={"largest_difference_mm": apart})


def whole_case() -> Iterator[Comparison]:
    """All figures of a scan of 512 x 512 x 100, four raters and six classes: printed, as nobody else has them."""
    case, info = scan()
    walls, processors = [], []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        found = [m.statistics for m in measure([case], info, AgreementSettings())]
        merge(found, info).to_dict()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    print(
        f"whole_case: {sorted(walls)[1]:.1f} s, of which {sorted(processors)[1]:.1f} s at work, "
        f"{len(found[0].pairs)} comparisons of masks",
        flush=True,
    )
    return iter(())


def many_cases() -> Iterator[Comparison]:
    """What a case costs among 10, 100 and 1,000: printed."""
    for number in (10, 100, 1000):
        cases, info = small_cases(number)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            found = [m.statistics for m in measure(cases, info, AgreementSettings(), keep=Path(folder))]
            measured = time.process_time() - start
        merge(found, info)
        merged = time.process_time() - start - measured
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"many_cases: {number} cases, {1e3 * measured / number:.2f} ms a case to measure and "
            f"{1e3 * merged / number:.2f} ms to merge at work; {memory:.0f} MB at most so far",
            flush=True,
        )
    return iter(())


if __name__ == "__main__":
    sys.exit(main((staple, kappa_alpha, surfaces, whole_case, many_cases), __doc__ or ""))
