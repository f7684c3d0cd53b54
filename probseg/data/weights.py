"""How often each example is drawn in training, so that a site or patient with many scans does not drown the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.data.sources import Entry
from probseg.errors import ProbsegError

__all__ = ["EqualPatients", "EqualRaters", "EqualSites", "SiteShares", "Weights"]


class Weights(ABC):
    """A weight an example; examples are drawn with replacement in proportion to it."""

    @abstractmethod
    def __call__(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """``(examples,)``, positive, summing to 1."""


def _shared(groups: Sequence[Hashable]) -> NDArray[np.float64]:
    """Weights with which every group is drawn equally often, and its members equally within it."""
    counts = Counter(groups)
    return np.array([1.0 / (len(counts) * counts[g]) for g in groups])


class EqualPatients(Weights):
    """Every patient is drawn equally often, however many scans or slices there are of each."""

    def __call__(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """One over the number of examples of the patient."""
        return _shared([e.patient for e in entries])


class SiteShares(Weights):
    """Sites are drawn in given shares, and each patient of a site equally often.

    Args:
        shares: site to its weight relative to the others; every site of the training data must be there.
    """

    def __init__(self, shares: dict[str, float]) -> None:
        if not shares or not all(np.isfinite(v) and v > 0 for v in shares.values()):
            raise ProbsegError(
                "E_SCHEMA",
                f"shares must give each site a positive number, but are {shares}; leave sites out with sites",
            )
        self.shares: Mapping[str, float] = shares

    def __call__(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """The share of the site, spread over its patients and then over their examples."""
        sites = {e.site for e in entries}
        wrong = sorted(sites ^ set(self.shares))
        if wrong:
            fault = "has no share" if wrong[0] in sites else "has no training example"
            raise ProbsegError("E_UNKNOWN_SITE", f"site '{wrong[0]}' {fault}; the sites are {', '.join(sorted(sites))}")
        weights = np.zeros(len(entries))
        for site in sites:
            here = np.array([e.site == site for e in entries])
            weights[here] = self.shares[site] * _shared([e.patient for e in entries if e.site == site])
        return weights / weights.sum()


class EqualSites(Weights):
    """Every site is drawn equally often, and each patient of a site equally often."""

    def __call__(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """`SiteShares` of equal shares."""
        return SiteShares({e.site: 1.0 for e in entries})(entries)


class EqualRaters(Weights):
    """Every rater is learnt from equally often, however many examples each of them rated.

    With R raters of whom r rated n_r examples, an example is drawn with probability ``sum 1 / (R n_r)`` over the raters
    who rated something of it: as if a rater were drawn first and then one of that rater's examples. The target
    `probseg.models.BalancedRater` then draws a rater of the example in proportion to 1 / n_r, so that each rater's
    masks are exactly 1 / R of all. An example that nobody rated is never drawn.
    """

    def __call__(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """E_UNSTABLE_RATERS where the data do not say who rated what."""
        counts = Counter(rater for e in entries for rater in e.rated_by)
        if not counts or min(counts) < 0:
            raise ProbsegError(
                "E_UNSTABLE_RATERS",
                "EqualRaters needs raters who are the same person in every case, but this data set does not say who "
                "drew a mask; leave data.weights out, or use EqualPatients",
            )
        return np.array([sum(1.0 / (len(counts) * counts[rater]) for rater in e.rated_by) for e in entries])
