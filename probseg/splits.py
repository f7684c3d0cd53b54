"""Splits by patient: shares, folds, one site left out; written into ``cases.csv``, and leaks between them found.

Patients are the unit: all cases of a patient share a split, and patients under whose names the same image lies count
as one. Every split gets its part of each site, and of the patients with and without foreground.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probseg.errors import ProbsegError, warn
from probseg.io.tables import plain_cell, write_csv
from probseg.records import SPLITS, Dataset
from probseg.survey import CaseFacts

__all__ = [
    "DEFAULT_SHARES",
    "Patient",
    "check_leaks",
    "patients_of",
    "split_by_fold",
    "split_by_shares",
    "split_by_site",
    "write_splits",
]

DEFAULT_SHARES = (0.6, 0.1, 0.1, 0.2)
"""Shares of the patients in train, validation, calibration and test."""


@dataclass(frozen=True)
class Patient:
    """What a split must keep together and what it balances.

    Attributes:
        names: patient ids; several where the same image lies under several.
        sites: every site at which there is a case, sorted.
        foreground: whether any rater drew anything in any of the cases.
    """

    names: tuple[str, ...]
    sites: tuple[str, ...]
    foreground: bool


def patients_of(facts: Sequence[CaseFacts]) -> tuple[Patient, ...]:
    """The patients of a surveyed dataset, sorted by name; warns W_DUPLICATE_IMAGE where two share an image."""
    leader = {f.record.patient_id: f.record.patient_id for f in facts}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    first: dict[str, CaseFacts] = {}
    for f in facts:
        other = first.setdefault(f.sha256, f) if f.sha256 else f
        a, b = find(f.record.patient_id), find(other.record.patient_id)
        if a != b:
            leader[max(a, b)] = min(a, b)
            warn(
                "W_DUPLICATE_IMAGE",
                f"cases '{other.record.case_id}' and '{f.record.case_id}' of two patients hold the same image; both "
                "go to one split",
            )
    groups: dict[str, list[CaseFacts]] = {}
    for f in facts:
        groups.setdefault(find(f.record.patient_id), []).append(f)
    return tuple(
        Patient(
            tuple(sorted({f.record.patient_id for f in group})),
            tuple(sorted({f.record.site for f in group})),
            any(f.foreground for f in group),
        )
        for _, group in sorted(groups.items())
    )


def split_by_shares(
    patients: Sequence[Patient], shares: Sequence[float] = DEFAULT_SHARES, seed: int = 0
) -> dict[str, str]:
    """Each patient's split.

    The counts come as near to ``shares`` as whole patients can; where there are enough patients every split with a
    share has at least one.

    Args:
        patients: as `patients_of` gives them.
        shares: of the patients in train, validation, calibration and test, summing to 1.
        seed: of the shuffle.

    Raises:
        ProbsegError: E_USAGE when the shares are not four numbers that sum to 1.
    """
    share = np.asarray(shares, dtype=float)
    if share.shape != (len(SPLITS),) or not (share >= 0).all() or abs(share.sum() - 1) > 1e-6:
        raise ProbsegError("E_USAGE", f"--shares must be {len(SPLITS)} numbers from 0 to 1 that sum to 1")
    return _named(patients, _deal(patients, share, seed), SPLITS)


def split_by_fold(patients: Sequence[Patient], folds: int, fold: int, seed: int = 0) -> dict[str, str]:
    """Fold ``fold`` of ``folds`` is the test, the next one the validation, the rest is for training.

    The same seed deals the same folds, so that over all values of ``fold`` every patient is tested once.

    Raises:
        ProbsegError: E_USAGE when there are fewer than three folds, fewer patients than folds, or no such fold.
    """
    if folds < 3 or folds > len(patients):
        raise ProbsegError("E_USAGE", f"--folds must lie between 3 and the {len(patients)} patients, but is {folds}")
    if not 0 <= fold < folds:
        raise ProbsegError("E_USAGE", f"--fold must lie between 0 and {folds - 1}, but is {fold}")
    dealt = _deal(patients, np.full(folds, 1 / folds), seed)
    role = {fold: "test", (fold + 1) % folds: "validation"}
    return _named(patients, dealt, [role.get(k, "train") for k in range(folds)])


def split_by_site(
    patients: Sequence[Patient], site: str, shares: Sequence[float] = DEFAULT_SHARES, seed: int = 0
) -> dict[str, str]:
    """All patients with a case at ``site`` are the test; the others are dealt by the first three shares.

    Raises:
        ProbsegError: E_USAGE when there is no such site, or no other.
    """
    sites = sorted({s for p in patients for s in p.sites})
    left_out = [p for p in patients if site in p.sites]
    rest = [p for p in patients if site not in p.sites]
    if not left_out:
        raise ProbsegError("E_USAGE", f"no case is at site '{site}'; the sites are {', '.join(sites)}")
    if not rest:
        raise ProbsegError("E_USAGE", f"every patient has a case at site '{site}', so none is left to train on")
    share = np.asarray(shares, dtype=float)
    if share.shape != (len(SPLITS),) or not (share >= 0).all() or not share[0] > 0:
        raise ProbsegError("E_USAGE", f"--shares must be {len(SPLITS)} numbers from 0 to 1, the first above 0")
    dealt = _named(rest, _deal(rest, share[:3] / share[:3].sum(), seed), SPLITS[:3])
    return {**dealt, **{name: "test" for p in left_out for name in p.names}}


def _named(patients: Sequence[Patient], dealt: Sequence[int], names: Sequence[str]) -> dict[str, str]:
    return {name: names[k] for p, k in zip(patients, dealt, strict=True) for name in p.names}


def _deal(patients: Sequence[Patient], shares: np.ndarray, seed: int) -> list[int]:
    """Which part each patient goes to.

    Each stratum gives every part the whole patients that are its share. Those who are left over are lined up stratum
    by stratum, and going along the line the next one goes to the part that is furthest behind its quota.
    """
    total = len(patients)
    counts = (shares > 0).astype(int) if total >= (shares > 0).sum() else np.zeros(len(shares), dtype=int)
    while counts.sum() < total:
        counts[np.argmax(np.round(shares * total - counts, 9))] += 1  # rounded, so that a tie goes to the first
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    strata: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for k in rng.permutation(total):
        strata.setdefault((patients[k].sites, patients[k].foreground), []).append(int(k))
    dealt = [0] * total
    line: list[int] = []
    for _, members in sorted(strata.items()):
        for part, whole in enumerate(np.floor(shares * len(members) + 1e-9).astype(int)):
            for _ in range(min(whole, counts[part])):
                dealt[members.pop()] = part
                counts[part] -= 1
        line += members
    start = int(rng.integers(max(len(line), 1)))  # else the small parts would always come from the same strata
    given = np.zeros(len(shares), dtype=int)
    for step, k in enumerate(line[start:] + line[:start], start=1):
        behind = np.where(given < counts, np.round(counts * step / len(line) - given, 9), -np.inf)
        part = int(np.argmax(behind))
        given[part] += 1
        dealt[k] = part
    return dealt


def check_leaks(facts: Sequence[CaseFacts]) -> None:
    """Whether one image lies in two splits under two names.

    Raises:
        ProbsegError: E_SPLIT_LEAK.
    """
    first: dict[str, CaseFacts] = {}
    for f in facts:
        if not f.record.split or not f.sha256:
            continue
        other = first.setdefault(f.sha256, f)
        if other.record.split != f.record.split:
            raise ProbsegError(
                "E_SPLIT_LEAK",
                f"cases '{other.record.case_id}' ({other.record.split}) and '{f.record.case_id}' ({f.record.split}) "
                "hold the same image; give both one patient_id and split anew",
            )


def write_splits(dataset: Dataset, splits: Mapping[str, str]) -> Path:
    """Put splits by patient into the column ``split`` of ``cases.csv``; everything else there stays.

    Returns:
        The path of ``cases.csv``.

    Raises:
        ProbsegError: E_USAGE when the dataset has no ``cases.csv``, as an NPZ stack has none; E_NOT_WRITABLE.
    """
    path = None if dataset.path is None else dataset.path / "cases.csv"
    if path is None or not path.is_file():
        raise ProbsegError("E_USAGE", f"'{dataset.path}' has no cases.csv to write splits to; import it as a folder")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        rows = [{name: plain_cell(value or "") for name, value in row.items()} for row in reader]
    columns += [] if "split" in columns else ["split"]
    for row in rows:
        row["split"] = splits[row["patient_id"] or row["case_id"]]
    write_csv(path, columns, [[row[name] for name in columns] for row in rows])
    return path


def counts_by_split(facts: Sequence[CaseFacts], splits: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """For each split that has patients: ``patients``, ``cases``, ``foreground`` (cases) and ``site NAME`` (cases)."""
    out: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        chosen = [f for f in facts if splits[f.record.patient_id] == split]
        if chosen:
            sites = Counter(f.record.site for f in chosen)
            out[split] = {
                "patients": len({f.record.patient_id for f in chosen}),
                "cases": len(chosen),
                "foreground": sum(f.foreground for f in chosen),
                **{f"site {site}": n for site, n in sorted(sites.items())},
            }
    return out
