"""A dataset measured in parts, on machines that share nothing but the data, and the parts brought together.

Shard i of n measures every n-th case from the i-th on, and keeps a file a case. Merging reads these files in the order
of the dataset; the figures are then those of one run over all cases, to the last digit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from probseg import __version__
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.case_files import FORMAT
from probseg.analysis.measuring import Measured, case_file, read_measured
from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.records import Dataset, DatasetInfo

__all__ = ["MEASURED", "SHARD", "Gathered", "Shard", "describes", "gather", "write_shard"]

MEASURED = "measured"
"""Name of the folder of the case files."""
SHARD = "shard.json"
"""What a shard is of; written last, so that its presence says that the shard is whole."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``2/8`` is the second of eight; E_ARGUMENT for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= index <= count:
            raise ProbsegError("E_ARGUMENT", f"a shard is I/N with I from 1 to N, such as 2/8, but is '{text}'")
        return cls(index, count)

    def of(self, dataset: Dataset) -> Dataset:
        """The part of the dataset that this shard measures; may be empty."""
        return replace(dataset, records=dataset.records[self.index - 1 :: self.count])


class Gathered(NamedTuple):
    """All cases of a run in shards, in the order of its dataset."""

    info: DatasetInfo
    settings: AgreementSettings
    cases: tuple[Measured, ...]


def _run(dataset: Dataset, settings: AgreementSettings, count: int, predictions: Mapping[str, str]) -> dict[str, Any]:
    """What all shards of one run have in common."""
    inputs = [[asdict(record) for record in dataset.records], sorted(predictions.items())]
    return {
        "format": FORMAT,
        "version": __version__,
        "info": dataset.info.to_dict(),
        "settings": json.loads(json.dumps(asdict(settings))),
        "inputs": hashlib.sha256(json.dumps(inputs).encode()).hexdigest(),
        "cases": [r.case_id for r in dataset.records],
        "shards": count,
    }


def describes(
    folder: Path,
    dataset: Dataset,
    settings: AgreementSettings,
    shard: Shard,
    predictions: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Whether a folder holds this very shard of this very run, whole; arguments as for `write_shard`."""
    return _read(folder) == {**_run(dataset, settings, shard.count, predictions), "shard": shard.index}


def write_shard(
    folder: Path,
    dataset: Dataset,
    settings: AgreementSettings,
    shard: Shard,
    predictions: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Say what the case files of a folder are.

    Args:
        folder: holds them in a folder of its own.
        dataset: the whole one.
        settings: what the cases were measured with.
        shard: which part it is.
        predictions: case id to the digest of its prediction, where there are any.
    """
    data = {**_run(dataset, settings, shard.count, predictions), "shard": shard.index}
    write_text(folder / SHARD, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        data = json.loads((folder / SHARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def gather(folders: Sequence[Path]) -> Gathered:
    """Read every case of a run from the folders of its shards, in any order.

    Raises:
        ProbsegError: E_FILE_MISSING where a folder is no whole shard, or a shard or a case is missing; E_SHARDS where
            shards are of different runs.
    """
    found: dict[int, Path] = {}
    runs = []
    for folder in folders:
        data = _read(folder)
        if data is None:
            raise ProbsegError("E_FILE_MISSING", f"'{folder}' is no whole shard; finish it with --shard, then merge")
        found.setdefault(data.pop("shard", 0), folder)
        runs.append(data)
    for folder, run in zip(folders, runs, strict=True):
        different = sorted(k for k in {*run, *runs[0]} if run.get(k) != runs[0].get(k))
        if different:
            raise ProbsegError(
                "E_SHARDS", f"'{folder}' and '{folders[0]}' are of different runs: {', '.join(different)} differ"
            )
    run = runs[0]
    missing = [f"{i}/{run['shards']}" for i in range(1, run["shards"] + 1) if i not in found]
    if missing:
        raise ProbsegError("E_FILE_MISSING", f"shard {missing[0]} is missing; merge takes all of them")
    settings = AgreementSettings(**{name: _as_chosen(value) for name, value in run["settings"].items()})
    cases = tuple(_case(found[k % run["shards"] + 1], case_id) for k, case_id in enumerate(run["cases"]))
    return Gathered(DatasetInfo.from_dict(run["info"]), settings, cases)


def _as_chosen(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(_as_chosen(v) for v in value) if isinstance(value, list) else value


def _case(folder: Path, case_id: str) -> Measured:
    found = read_measured(case_file(folder / MEASURED, case_id))
    if found is None:
        raise ProbsegError("E_FILE_MISSING", f"'{folder}' lacks case '{case_id}' or its file is damaged; run it again")
    return found
