"""What a run folder says of a model that was adapted to another site: how, from what, and with whose cases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.records import CaseRecord

__all__ = ["AdaptationNote", "require_unseen"]


@dataclass(frozen=True)
class AdaptationNote:
    """How a model came to a new site; ``adaptation.json`` of its run folder, and part of its checkpoint.

    Attributes:
        method: ``class_path`` and ``init_args`` of what adapted it.
        labelled: whether masks of the new site were read.
        dataset: its name.
        root: where it lay.
        site: the new one.
        splits: from which the cases were taken.
        patients, cases: names of those that were used.
        tested_patients: patients of the site that are left for the test, none of whom was used.
        seed: that chose the patients.
        run: the run folder that was adapted.
        checkpoint_sha256: of its checkpoint.
        done: what the method says of its work.
        before: the note of that run, where it had been adapted itself.
    """

    method: Mapping[str, Any]
    labelled: bool
    dataset: str
    root: str
    site: str
    splits: tuple[str, ...]
    patients: tuple[str, ...]
    cases: tuple[str, ...]
    tested_patients: tuple[str, ...]
    seed: int
    run: str
    checkpoint_sha256: str
    done: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None

    @staticmethod
    def path(run: Path) -> Path:
        """Where it lies in a run folder."""
        return run / "adaptation.json"

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return dict(json.loads(json.dumps(asdict(self))))

    def write(self, run: Path) -> None:
        """Put it into the run folder."""
        write_text(self.path(run), json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def read(cls, run: Path) -> dict[str, Any] | None:
        """That of a run folder in plain types; None for a run that was not adapted.

        Raises:
            ProbsegError: E_PARSE where the file is none of these.
        """
        path = cls.path(run)
        if not path.is_file():
            return None
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            _ = [sorted(one["patients"]) for one in _chain(note)]
        except (ValueError, KeyError, TypeError) as error:
            raise ProbsegError("E_PARSE", f"'{path}' is no note of an adaptation; adapt the run again") from error
        return dict(note)


def require_unseen(run: Path, records: Iterable[CaseRecord]) -> dict[str, Any] | None:
    """The note of a run folder, whose test must not hold a patient that the model was adapted with.

    Args:
        run: the run folder.
        records: the cases to be tested.

    Raises:
        ProbsegError: E_SPLIT_LEAK where it does.
    """
    note = AdaptationNote.read(run)
    used = {patient for one in _chain(note) for patient in one["patients"]}
    seen = sorted({record.patient_id for record in records} & used)
    if seen:
        raise ProbsegError(
            "E_SPLIT_LEAK",
            f"{len(seen)} of the patients to be tested, such as '{seen[0]}', were used to adapt '{run}'; test it on "
            "others, as its config.yaml does",
        )
    return note


def _chain(note: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A note and those of the runs before."""
    while note is not None:
        yield note
        note = note["before"]
