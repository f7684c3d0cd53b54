"""Where the uncertainty of a figure comes from: patients, raters and the rest; and how many of each would halve it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Needed", "Role", "Variance", "crossed_variance", "needed_for_half", "nested_variance", "resampled_variance"]

Role = Literal["mean", "one against others"]
"""``mean``: the figure is a mean over patients and raters. ``one against others``: one rater less the mean of the
others, whose own share in the rest does not shrink with more raters."""

_MOST_RATERS = 200
_MOST_TIMES = 20
"""As many patients as now: more of them would be extrapolated further than anybody should believe."""


@dataclass(frozen=True)
class Variance:
    """Variance components of a figure over patients and raters, and the design that they were found in.

    With values ``y_pr = mu + patient_p + rater_r + rest_pr``, each of its own variance, the variance of the mean over
    n patients and m raters is ``patients a / n + raters b / m + rest / (n m c)``.

    Attributes:
        patients, raters, rest: the components, not negative.
        num_patients: n.
        num_raters: m; readings a patient, perhaps not whole, where raters are nobody.
        patient_excess, rater_excess: a and b, 1 where everybody read everything, more where some read more.
        share_read: c, readings there are of n m.
        crossed: whether the raters are the same in all patients. Otherwise each patient has raters of their own, their
            variance is within ``rest``, and ``raters`` is 0.
    """

    patients: float
    raters: float
    rest: float
    num_patients: int
    num_raters: float
    patient_excess: float = 1.0
    rater_excess: float = 1.0
    share_read: float = 1.0
    crossed: bool = True

    def of_mean(self, num_patients: float, num_raters: float, any_raters: bool = True) -> float:
        """Variance of the mean over so many patients and raters; raters as they are unless drawn anew as well."""
        raters = self.rater_excess * self.raters / num_raters if any_raters else 0.0
        rest = self.rest / (num_patients * num_raters * self.share_read)
        return self.patient_excess * self.patients / num_patients + raters + rest

    def of_one_against_others(self, num_patients: float, num_raters: float, any_raters: bool = True) -> float:
        """Variance of one rater's mean over patients less that of the others; patients cancel."""
        others = num_raters - 1.0
        raters = self.raters / others if any_raters else 0.0
        return raters + self.rest * (1.0 + 1.0 / others) / (num_patients * self.share_read)


class Needed(NamedTuple):
    """What would halve an interval: a quarter of the variance.

    Attributes:
        patients: how many, with raters as many as now; None where no number is enough, or only one so large, over
            twenty times the present, that nobody should believe it.
        raters: how many, with patients as many as now; None where no number up to 200 is enough.
        fewest: patients and raters that take the fewest readings in all; None where raters cannot be told apart.
    """

    patients: int | None
    raters: int | None
    fewest: tuple[int, int] | None


def crossed_variance(table: NDArray[np.float64]) -> Variance | None:
    """Components where the same raters read the patients, some of whom may be missing.

    Henderson (1953), doi:10.2307/3001853, method 1: sums of squares over patients, over raters and over all, equated
    with what they are expected to be. With nothing missing these are the mean squares of the two-way analysis of
    variance without repetition. Negative estimates become 0.

    Args:
        table: ``(patients, raters)``, NaN where a reading is missing.

    Returns:
        None for fewer than two patients or raters, or where the design cannot tell the components apart.
    """
    known = ~np.isnan(table)
    table, known = table[known.any(axis=1)], known[known.any(axis=1)]
    table, known = table[:, known.any(axis=0)], known[:, known.any(axis=0)]
    n, m, total = *table.shape, int(known.sum())
    if n < 2 or m < 2:
        return None
    y = np.where(known, table - table[known].mean(), 0.0)
    by_patient, by_rater = known.sum(axis=1), known.sum(axis=0)
    k_patients, k_raters = float((by_patient**2).sum()) / total, float((by_rater**2).sum()) / total
    mean = y.sum() ** 2 / total
    squares = np.array(
        [
            float((y.sum(axis=1) ** 2 / by_patient).sum()) - mean,
            float((y.sum(axis=0) ** 2 / by_rater).sum()) - mean,
            float((y**2).sum()) - mean,
        ]
    )
    expected = np.array(
        [
            [total - k_patients, n - k_raters, n - 1],
            [m - k_patients, total - k_raters, m - 1],
            [total - k_patients, total - k_raters, total - 1],
        ]
    )
    if np.linalg.cond(expected) > 1e12:
        return None
    patients, raters, rest = (max(float(v), 0.0) for v in np.linalg.solve(expected, squares))
    excess = (n * k_patients / total, m * k_raters / total)
    return Variance(patients, raters, rest, n, float(m), *excess, total / (n * m))


def nested_variance(
    values: NDArray[np.float64], within: NDArray[np.float64], readings: NDArray[np.float64]
) -> Variance | None:
    """Components where every patient has raters of their own, so that raters cannot be told from the rest.

    Args:
        values: ``(patients,)`` the figure of each.
        within: ``(patients,)`` an estimate of the variance of that figure given the patient, were others to read them,
            perhaps negative where it is unbiased; NaN where too few readings say nothing of it.
        readings: ``(patients,)`` readings behind each figure; the variance within falls as one over their number.

    Returns:
        None for fewer than two patients, or where nothing varies within; ``num_raters`` is the harmonic mean of the
        readings.
    """
    known = ~np.isnan(within)
    if len(values) < 2 or not known.any() or within[known].mean() <= 0:
        return None
    of_one, total = float(within[known].mean()), float(values.var(ddof=1))
    num_raters = 1.0 / float((1.0 / readings[known]).mean())
    # Leaving one of three out overstates the variance within; the whole of it is known and cannot be less.
    of_one = min(of_one, total)
    return Variance(total - of_one, 0.0, of_one * num_raters, len(values), num_raters, crossed=False)


def needed_for_half(variance: Variance, role: Role = "mean", any_raters: bool = True) -> Needed:
    """How many patients, raters or both bring the variance to a quarter and the interval to half.

    Args:
        variance: components and present numbers.
        role: of the figure.
        any_raters: whether the interval speaks of raters like these (both drawn anew) or of these raters alone.
    """
    of = variance.of_mean if role == "mean" else variance.of_one_against_others
    n, m = variance.num_patients, variance.num_raters
    target = of(n, m, any_raters) / 4.0
    if target <= 0:
        return Needed(None, None, None)

    def patients(raters: float) -> int | None:
        """Least n' with a + b / n' within the target."""
        constant = of(math.inf, raters, any_raters)
        slope = of(1.0, raters, any_raters) - constant
        number = math.inf if constant >= target else slope / (target - constant)
        return _ceil(number) if number <= _MOST_TIMES * n else None

    first = 2  # agreement needs two
    if variance.raters == 0 and variance.rest == 0:
        return Needed(patients(m), None, None)
    start = max(math.ceil(m), first)
    raters = next((k for k in range(start, _MOST_RATERS + 1) if of(n, k, any_raters) <= target * (1 + 1e-9)), None)
    mixes = [(p, k) for k in range(first, _MOST_RATERS + 1) if (p := patients(k)) is not None]
    fewest = min(mixes, key=lambda mix: (mix[0] * mix[1], mix[1]), default=None)
    return Needed(patients(m), raters, fewest)


def _ceil(value: float) -> int:
    """Up to the next whole number, but not because of rounding."""
    return math.ceil(value - 1e-9 * abs(value))


def resampled_variance(
    table: NDArray[np.float64],
    num_patients: int,
    num_raters: int | None,
    samples: int = 1000,
    seed: int = 0,
) -> float:
    """Variance of the mean when so many patients, and so many raters, are drawn from those there are.

    The pigeonhole bootstrap (Owen 2007, doi:10.1214/07-AOAS122): rows and columns are drawn with replacement, each for
    itself. It sees what the components' normal theory does not, and sees the raters' variance too small by
    ``(m - 1) / m``, as every bootstrap of m does.

    Args:
        table: ``(patients, raters)``, NaN where a reading is missing.
        num_patients: to draw.
        num_raters: to draw; None keeps every rater once.
        samples: bootstrap samples.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    known = ~np.isnan(table)
    y = np.where(known, table, 0.0)
    rows = rng.multinomial(num_patients, np.full(len(table), 1 / len(table)), size=samples).astype(np.float64)
    columns = np.ones((samples, table.shape[1]))
    if num_raters is not None:
        chance = np.full(table.shape[1], 1 / table.shape[1])
        columns = rng.multinomial(num_raters, chance, size=samples).astype(np.float64)
    total, count = ((rows @ part * columns).sum(axis=1) for part in (y, known.astype(np.float64)))
    means = total[count > 0] / count[count > 0]
    return float(means.var(ddof=1)) if len(means) > 1 else math.nan
