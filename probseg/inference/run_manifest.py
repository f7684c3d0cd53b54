"""What stands beside the folders of the scans: the table of their volumes and, written last, the manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.inference.output_folder import read_summary
from probseg.inference.scan_files import SUMMARY, write_json
from probseg.inference.volumes import VOLUME_COLUMNS, volume_rows
from probseg.io.digest import file_sha256
from probseg.io.tables import write_csv
from probseg.records import check_case_id

__all__ = ["FailedScan", "RunReport", "write_manifest"]


@dataclass(frozen=True)
class FailedScan:
    """A scan that could not be predicted.

    Attributes:
        case_id: of the scan.
        code: of the error.
        exception: type of an exception that nobody expected.
    """

    case_id: str
    code: str
    exception: str | None = None

    @classmethod
    def of(cls, case_id: str, said: Mapping[str, Any]) -> FailedScan:
        """From plain types."""
        return cls(case_id, str(said["code"]), said.get("exception"))

    def to_dict(self) -> dict[str, str]:
        """Plain types."""
        return {"case_id": self.case_id, "code": self.code, **({"exception": self.exception} if self.exception else {})}


@dataclass(frozen=True)
class RunReport:
    """What came of a run's scans, by all processes that shared it.

    Attributes:
        done: case ids of those that are predicted, in the order of the inputs.
        failed: those that cannot be.
        kept: how many of ``done`` were there before.
        busy: how many other processes are still at; the last of them writes the manifest.
        left: how many nobody is at.
        draws: how many the model took a scan; None where nothing was written.
    """

    done: tuple[str, ...]
    failed: tuple[FailedScan, ...]
    kept: int = 0
    busy: int = 0
    left: int = 0
    draws: int | None = None


def write_manifest(
    out: Path, part: Path, done: Sequence[str], failed: Sequence[FailedScan], terms: Mapping[str, Any]
) -> int:
    """Write ``volumes.csv`` and, last, ``manifest.json``, both made of the summaries of the scans alone.

    So they come out the same, whoever predicted which scan and when. Files that are the same already are left alone.

    Args:
        out: folder of the run.
        part: a folder beside, for files that are not whole yet.
        done: case ids in the order of the inputs.
        failed: scans without a result.
        terms: what made the results.

    Returns:
        How many draws the model took.

    Raises:
        ProbsegError: E_CORRUPT where a summary has gone since its scan was finished.
    """
    scans, rows, draws = [], [], 0
    for case_id in done:
        folder = out / check_case_id(case_id)
        summary = read_summary(folder)
        if summary is None:
            raise ProbsegError("E_CORRUPT", f"'{folder / SUMMARY}' was changed while the run went on; start it again")
        files = {**summary["files"], SUMMARY: file_sha256(folder / SUMMARY)}
        scans.append({"case_id": case_id, "input_sha256": summary["input_sha256"], "files": files})
        rows += volume_rows(case_id, summary["volumes"])
        draws = int(summary["draws"])
    write_csv(part / "volumes.csv", VOLUME_COLUMNS, rows)
    manifest = {
        **terms,
        "scans": scans,
        "failed": [f.to_dict() for f in failed],
        "files": {"volumes.csv": file_sha256(part / "volumes.csv")},
    }
    write_json(part / "manifest.json", manifest)
    for name in ("volumes.csv", "manifest.json"):
        if not (out / name).is_file() or file_sha256(out / name) != file_sha256(part / name):
            (out / "manifest.json").unlink(missing_ok=True)  # of an earlier state
            os.replace(part / name, out / name)
    return draws
