"""A site: its scanner and the disease that it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.case import Geometry
from probseg.data.synthetic.patterns import PATTERNS, Pattern
from probseg.errors import ProbsegError

__all__ = ["DEFAULT_SITES", "SITES", "Site"]

_STEP_MM = 1 / 64  # exact in binary and in at most six decimals, so that files give lengths back bit for bit


@dataclass(frozen=True)
class Site:
    """A hospital: what its scanner does to an image, and which patients come.

    Attributes:
        name: of the site.
        noise_hu: standard deviation of the noise, HU.
        kernel_mm: standard deviation of the Gaussian that blurs image and noise in the axial plane, mm.
        slice_spacing_mm: thickness and distance of slices, mm; rounded to 1/64 mm.
        field_of_view_mm: width of the image, mm; the pixel spacing is this over the columns, rounded to 1/64 mm.
        prevalence: pattern name to weight; a pattern without a weight does not occur.
        lesions_per_patient: mean number in patients with disease, at least 1.
        healthy: part of the patients without opacity, 0 to 1.

    Raises:
        ProbsegError: E_USAGE when a value is out of its range.
    """

    name: str
    noise_hu: float = 20.0
    kernel_mm: float = 1.0
    slice_spacing_mm: float = 5.0
    field_of_view_mm: float = 350.0
    prevalence: Mapping[str, float] = field(default_factory=lambda: {p.name: 1.0 for p in PATTERNS})
    lesions_per_patient: float = 4.0
    healthy: float = 0.1

    def __post_init__(self) -> None:
        known = [p.name for p in PATTERNS]
        rules = (
            (bool(self.name), "name must not be empty"),
            (self.noise_hu >= 0, f"noise_hu must not be negative, but is {self.noise_hu}"),
            (self.kernel_mm >= 0, f"kernel_mm must not be negative, but is {self.kernel_mm}"),
            (self.slice_spacing_mm >= _STEP_MM, f"slice_spacing_mm must be positive, but is {self.slice_spacing_mm}"),
            (self.field_of_view_mm >= 100, f"field_of_view_mm must be at least 100, but is {self.field_of_view_mm}"),
            (set(self.prevalence) <= set(known), f"prevalence must name patterns among {', '.join(known)}"),
            (
                all(w >= 0 for w in self.prevalence.values()) and sum(self.prevalence.values()) > 0,
                "prevalence must hold weights that are not negative and not all 0",
            ),
            (self.lesions_per_patient >= 1, f"lesions_per_patient must be at least 1, not {self.lesions_per_patient}"),
            (0 <= self.healthy <= 1, f"healthy must lie between 0 and 1, but is {self.healthy}"),
        )
        for holds, rule in rules:
            if not holds:
                raise ProbsegError("E_USAGE", f"site '{self.name}': {rule}")

    def geometry(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> Geometry:
        """Where the scan of a patient lies: axial slices, a patient's own place on the table."""
        pixel = _on_step(self.field_of_view_mm / shape[2])
        spacing = (_on_step(self.slice_spacing_mm), pixel, pixel)
        x, y = (_on_step(-0.5 * (n - 1) * pixel + rng.uniform(-15, 15)) for n in (shape[2], shape[1]))
        return Geometry(shape, spacing, (x, y, _on_step(rng.uniform(-900, -300))))

    def patterns(self, rng: np.random.Generator) -> list[Pattern]:
        """The patterns of one patient's lesions; none in a healthy one."""
        if rng.uniform() < self.healthy:
            return []
        weights = np.array([self.prevalence.get(p.name, 0.0) for p in PATTERNS])
        number = 1 + rng.poisson(self.lesions_per_patient - 1)
        return [PATTERNS[k] for k in rng.choice(len(PATTERNS), number, p=weights / weights.sum())]

    def acquire(self, rng: np.random.Generator, hu: NDArray[np.float32], geometry: Geometry) -> NDArray[np.int16]:
        """The scan of a body: blurred by the kernel, with noise of the kernel's grain, as whole HU."""
        assert geometry.spacing is not None
        sigma = (0.0, self.kernel_mm / geometry.spacing[1], self.kernel_mm / geometry.spacing[2])
        noise = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), sigma, mode="wrap")
        noise *= self.noise_hu / max(float(noise.std()), 1e-6)
        seen = ndimage.gaussian_filter(hu, sigma, mode="nearest") + noise
        return np.clip(np.round(seen), -1024, 3071).astype(np.int16)


def _on_step(length_mm: float) -> float:
    return max(1, round(length_mm / _STEP_MM)) * _STEP_MM if length_mm > 0 else round(length_mm / _STEP_MM) * _STEP_MM


_BY_SEVERITY = [p.name for p in PATTERNS]

DEFAULT_SITES = (
    Site(
        "north",
        noise_hu=18.0,
        kernel_mm=1.1,
        slice_spacing_mm=5.0,
        field_of_view_mm=340.0,
        prevalence=dict(zip(_BY_SEVERITY, (3.0, 2.0, 2.0, 1.5, 1.0, 1.5), strict=True)),
        lesions_per_patient=3.5,
        healthy=0.15,
    ),
    Site(
        "south",
        noise_hu=34.0,
        kernel_mm=0.6,
        slice_spacing_mm=10.0,
        field_of_view_mm=370.0,
        prevalence=dict(zip(_BY_SEVERITY, (1.5, 1.5, 2.0, 2.0, 1.0, 3.0), strict=True)),
        lesions_per_patient=6.0,
        healthy=0.05,
    ),
)
"""Two sites that differ in noise, kernel, thickness and prevalence."""

SITES = (
    *DEFAULT_SITES,
    Site(
        "east",
        noise_hu=26.0,
        kernel_mm=0.8,
        slice_spacing_mm=8.0,
        field_of_view_mm=330.0,
        prevalence=dict(zip(_BY_SEVERITY, (1.5, 3.0, 3.0, 1.0, 1.0, 1.0), strict=True)),
        lesions_per_patient=4.5,
        healthy=0.1,
    ),
    Site(
        "west",
        noise_hu=12.0,
        kernel_mm=1.5,
        slice_spacing_mm=4.0,
        field_of_view_mm=390.0,
        prevalence=dict(zip(_BY_SEVERITY, (4.0, 1.5, 1.0, 1.0, 0.5, 0.5), strict=True)),
        lesions_per_patient=3.0,
        healthy=0.2,
    ),
    Site(
        "centre",
        noise_hu=45.0,
        kernel_mm=0.5,
        slice_spacing_mm=6.0,
        field_of_view_mm=310.0,
        prevalence=dict(zip(_BY_SEVERITY, (1.0, 1.0, 1.0, 2.5, 2.0, 3.0), strict=True)),
        lesions_per_patient=7.0,
        healthy=0.0,
    ),
)
"""All sites, the two of `DEFAULT_SITES` first: a smooth kernel, a sharp and noisy one, mild and severe disease."""
