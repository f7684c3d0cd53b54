from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.data.sources import Entry
from probseg.data.weights import EqualPatients, EqualRaters, EqualSites, SiteShares
from probseg.errors import ProbsegError

# Site a: patient 0 with three slices, patient 1 with one; site b: patient 2 with one.
ENTRIES = [
    Entry(f"{k}", patient, site, 1, (1, 4, 4))
    for k, (patient, site) in enumerate(zip([0, 0, 0, 1, 2], "aaaab", strict=True))
]


def test_by_hand() -> None:
    assert EqualPatients()(ENTRIES) == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 3])
    assert EqualSites()(ENTRIES) == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 2])
    assert SiteShares({"a": 3, "b": 1})(ENTRIES) == pytest.approx([1 / 8, 1 / 8, 1 / 8, 3 / 8, 1 / 4])


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), min_size=1))
def test_groups_are_drawn_as_often_as_promised(rows: list[tuple[int, str]]) -> None:
    entries = [Entry("", patient, site, 1, (1, 2, 2)) for patient, site in rows]
    patients, sites = np.array([p for p, _ in rows]), np.array([s for _, s in rows])
    by_patient, by_site = EqualPatients()(entries), EqualSites()(entries)
    for weights, groups in ((by_patient, patients), (by_site, sites)):
        assert weights.sum() == pytest.approx(1)
        shares = [weights[groups == g].sum() for g in set(groups.tolist())]
        assert shares == pytest.approx([1 / len(shares)] * len(shares))


def test_sites_must_be_those_of_the_data() -> None:
    with pytest.raises(ProbsegError, match="E_UNKNOWN_SITE: site 'b' has no share"):
        SiteShares({"a": 1})(ENTRIES)
    with pytest.raises(ProbsegError, match="E_UNKNOWN_SITE: site 'c' has no training example"):
        SiteShares({"a": 1, "b": 1, "c": 1})(ENTRIES)
    for shares in ({}, {"a": 0.0}, {"a": float("nan")}):
        with pytest.raises(ProbsegError, match="E_SCHEMA: shares must give each site a positive number"):
            SiteShares(shares)


def rated(*raters: int) -> Entry:
    return Entry("", 0, "", len(raters), (1, 2, 2), raters)


def test_raters_by_hand() -> None:
    # Rater 0 rated three of four, rater 1 the last two. A rater has 1/2, each of whose examples an equal part of it:
    weights = EqualRaters()([rated(0), rated(0), rated(0, 1), rated(1)])
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 6 + 1 / 4, 1 / 4])
    assert EqualRaters()([rated(0), rated()]) == pytest.approx([1, 0])


@settings(max_examples=40)
@given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1))
def test_every_rater_is_learnt_from_equally_often(rows: list[set[int]]) -> None:
    entries = [rated(*sorted(row)) for row in rows]
    weights = EqualRaters()(entries)
    assert weights.sum() == pytest.approx(1)
    counts = {r: sum(r in row for row in rows) for r in set().union(*rows)}
    # what the target then draws of an example: rater r in proportion to 1 / n_r
    drawn = dict.fromkeys(counts, 0.0)
    for weight, row in zip(weights, rows, strict=True):
        for r in row:
            drawn[r] += weight * (1 / counts[r]) / sum(1 / counts[q] for q in row)
    assert list(drawn.values()) == pytest.approx([1 / len(counts)] * len(counts))


@pytest.mark.parametrize("entries", [[rated()], [rated(-1, -1)], [rated(0, -1)]])
def test_raters_who_are_not_known_cannot_be_drawn_equally(entries: list[Entry]) -> None:
    with pytest.raises(ProbsegError, match="E_UNSTABLE_RATERS"):
        EqualRaters()(entries)
