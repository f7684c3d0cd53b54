"""A run of predictions that any number of processes share: which scans are left, who does which, what came of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.inference.claims import Claim, Claims
from probseg.inference.failures import ScanFailure
from probseg.inference.input_hashes import grid_sha256, image_sha256
from probseg.inference.output_folder import (
    RUN_FILES,
    WORKPLACE,
    check_output,
    clear_output,
    finished,
    refuse_links,
    remove_leftovers,
)
from probseg.inference.presence import Presence
from probseg.inference.run_manifest import FailedScan, RunReport, write_manifest
from probseg.inference.scan_files import SCAN_FILES, SUMMARY
from probseg.records import check_case_id

__all__ = ["SharedRun"]

_REPLACED = "replaced"
_REPLACING = "/replacing"  # the name of a claim that no scan can have
_POLL_S = 0.1
_LOOK_S = 10.0


class SharedRun:
    """One process's part in a run of predictions into a folder.

    The same run may be begun by several processes at once, on one machine or on several that see the folder. Each scan
    is done by one of them; results of an earlier start are kept where they are whole and of the same image.

    Args:
        out: the folder.
        case_ids: of all scans, in order.
        terms: what makes the results, in plain types; results that were made otherwise are not this run's.
        inputs: what the scans are read from, as text; tells runs with scans of the same names apart.
        overwrite: whether results of another run may be replaced.
    """

    def __init__(
        self,
        out: Path,
        case_ids: Sequence[str],
        terms: Mapping[str, Any],
        inputs: Sequence[str] = (),
        overwrite: bool = False,
    ) -> None:
        self.out = Path(out)
        self.case_ids = tuple(check_case_id(case_id) for case_id in case_ids)
        self.terms: dict[str, Any] = json.loads(json.dumps(terms))
        self.overwrite = overwrite
        self.work = hashlib.sha256(json.dumps([self.case_ids, self.terms, list(inputs)]).encode()).hexdigest()
        self._presence = Presence(self.out / WORKPLACE, {})
        self._claims = Claims(self._presence)
        self._held: dict[str, Claim] = {}
        self._known: dict[str, Mapping[str, Any]] = {}  # outcomes as far as this process has met them
        self._looked_s = -_LOOK_S
        self._made_out = False
        self._entered = False

    # -- coming and going ---------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """Name of this process in the run."""
        return self._presence.token

    def check(self) -> None:
        """Refuse a folder with results that are not this run's, E_OUTPUT_EXISTS; nothing is changed."""
        check_output(self.out, self.case_ids, self.terms, self.overwrite)

    def enter(self, job: str | None = None) -> None:
        """Take part from now on.

        Args:
            job: a name that the processes share which were started together; None for a process alone.

        Raises:
            ProbsegError: E_OUTPUT_EXISTS where others do another run in the folder at present.
        """
        self.check()
        self._made_out = not self.out.exists()
        self._presence.about = {"work": self.work, "overwrite": self.overwrite, "job": job or self.token}
        self._presence.enter()
        self._entered = True
        for other in self._presence.others():
            alike = other.about.get("work") == self.work
            if not alike or (self.overwrite and not other.about.get("overwrite")):
                what = "what --overwrite would remove" if alike else "other scans, or otherwise than this would"
                raise ProbsegError(
                    "E_OUTPUT_EXISTS",
                    f"another process predicts {what}, into '{self.out}'; wait for its end, or choose another --out",
                )
        with self._writable():
            self._replace_once() if self.overwrite else self._wait_for_replacement()
            for path in self._presence.folder.glob("*.part"):
                if not self._presence.is_alive(path.name.removesuffix(".part")):
                    shutil.rmtree(path, ignore_errors=True)

    def leave(self) -> None:
        """Take part no longer; what this process has not finished is free for others."""
        if not self._entered:
            return
        self._entered = False
        with contextlib.suppress(OSError):
            shutil.rmtree(self._part, ignore_errors=True)
            self._presence.leave()
            self._clean()

    def _replace_once(self) -> None:
        """Remove the results of other runs; of the processes that share this run one does it, the others wait.

        The mark stays until the run is complete, so that a run that was interrupted goes on.
        """
        while not self._is_replaced():
            claim = self._claims.take(_REPLACING)
            if claim is None:
                sleep(_POLL_S)
                continue
            clear_output(self.out)
            temporary = self._presence.folder / f"{self.token}.replacing"
            temporary.write_text(self.work, encoding="utf-8")
            temporary.replace(self._presence.folder / _REPLACED)
            self._claims.settle(claim, {"done": True})

    def _wait_for_replacement(self) -> None:
        while not self._is_replaced() and any(o.about.get("overwrite") for o in self._presence.others()):
            sleep(_POLL_S)

    def _is_replaced(self) -> bool:
        mark = self._presence.folder / _REPLACED
        return mark.is_file() and mark.read_text(encoding="utf-8") == self.work

    def _clean(self) -> None:
        """Remove the folder of the processes if this was the last of them and nothing is left to do."""
        folder = self._presence.folder
        found = list(folder.iterdir())  # before others are looked for: what a newcomer makes is not among it
        complete = all(self._outcome(case_id) is not None for case_id in self.case_ids)
        if self._presence.others():
            return
        if complete:
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        folder.rmdir()
        if self._made_out:
            self.out.rmdir()

    # -- one scan -----------------------------------------------------------------------------------------------------

    def take(self, case_id: str) -> bool:
        """Whether this process is to do a scan; no other will."""
        with self._writable():
            claim = self._claims.take(case_id)
        if claim is not None:
            self._held[case_id] = claim
        return claim is not None

    def is_settled(self, case_id: str) -> bool:
        """Whether the scan is done, or failed, by whichever process."""
        return self._outcome(case_id) is not None

    def kept(self, case_id: str) -> dict[str, Any] | None:
        """The summary of a result that is there and whole; to be confirmed by `keep` when the scan was read."""
        return finished(self.out / case_id)

    def keep(self, case: Case, summary: Mapping[str, Any]) -> bool:
        """Settle a scan whose result is there; False where it is to be predicted.

        Raises:
            ProbsegError: E_OUTPUT_EXISTS where the result is of another image.
        """
        found = (summary.get("input_sha256"), summary.get("grid_sha256"))
        if found == (image_sha256(case.image), grid_sha256(case.geometry, case.source.geometry)):
            self._settle(case.case_id, {"done": True, "kept": True})
            return True
        if self.overwrite:
            return False
        raise ProbsegError(
            "E_OUTPUT_EXISTS",
            f"'{self.out / case.case_id}' was predicted from another image; add --overwrite or choose another --out",
        )

    @property
    def _part(self) -> Path:
        return self._presence.folder / f"{self.token}.part"

    @contextlib.contextmanager
    def writing(self, case_id: str) -> Iterator[Path]:
        """A folder for the files of a scan; they become its result, the summary last, when the block ends well."""
        part = self._part / case_id
        with self._writable():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        try:
            yield part
            if not self._claims.is_mine(self._held[case_id]):
                return  # another took this process for gone, and does the scan
            with self._writable():
                self._publish(part, self.out / case_id)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._settle(case_id, {"done": True, "kept": False})

    def _publish(self, part: Path, folder: Path) -> None:
        if folder.is_symlink():
            raise ProbsegError("E_OUTPUT_EXISTS", f"'{folder}' is a link; remove it or choose another --out")
        folder.mkdir(exist_ok=True)
        refuse_links(folder, (*SCAN_FILES, SUMMARY))
        (folder / SUMMARY).unlink(missing_ok=True)  # without it nothing here counts
        remove_leftovers(folder)
        for name in SCAN_FILES:
            if (part / name).exists():
                (part / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        (part / SUMMARY).replace(folder / SUMMARY)

    def fail(self, failure: ScanFailure) -> None:
        """Settle a scan that cannot be predicted."""
        self._settle(failure.case_id, {"failed": {"code": failure.error.code, "exception": failure.exception}})

    def _settle(self, case_id: str, outcome: Mapping[str, Any]) -> None:
        with self._writable():
            self._claims.settle(self._held.pop(case_id), outcome)
        self._known[case_id] = outcome

    # -- the whole ----------------------------------------------------------------------------------------------------

    def progress(self) -> tuple[int, int]:
        """How many scans were done or failed since the run was begun, and how many were there before.

        What other processes did is looked up now and then only, for it takes reading a file a scan.
        """
        if monotonic() - self._looked_s > _LOOK_S and self._presence.others():
            for case_id in self.case_ids:
                if case_id not in self._known and (outcome := self._outcome(case_id)) is not None:
                    self._known[case_id] = outcome
            self._looked_s = monotonic()
        kept = sum(bool(outcome.get("kept")) for outcome in self._known.values())
        return len(self._known) - kept, kept

    def wait_for(self, job: str) -> None:
        """Wait until the processes that were started together with this one have left."""
        while any(other.about.get("job") == job for other in self._presence.others()):
            sleep(_POLL_S)

    def finish(self) -> RunReport:
        """What came of the scans; the last of the processes writes the table of volumes and the manifest.

        Where every scan failed nothing is written.
        """
        outcomes = {case_id: self._outcome(case_id) for case_id in self.case_ids}
        done = [case_id for case_id, outcome in outcomes.items() if outcome and "done" in outcome]
        kept = sum(bool(outcome and outcome.get("kept")) for outcome in outcomes.values())
        failed = [FailedScan.of(c, o["failed"]) for c, o in outcomes.items() if o and "failed" in o]
        open_ids = [case_id for case_id, outcome in outcomes.items() if outcome is None]
        busy = sum(self._claims.standing(case_id) is not None for case_id in open_ids)
        if open_ids or not done:
            return RunReport(tuple(done), tuple(failed), kept, busy, len(open_ids) - busy)
        with self._writable():
            refuse_links(self.out, RUN_FILES)
            part = self._part
            part.mkdir(parents=True, exist_ok=True)
            draws = write_manifest(self.out, part, done, failed, self.terms)
            remove_leftovers(self.out)
        return RunReport(tuple(done), tuple(failed), kept, 0, 0, draws)

    def _outcome(self, case_id: str) -> Mapping[str, Any] | None:
        claim = self._claims.standing(case_id)
        return None if claim is None else claim.outcome

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ProbsegError(
                "E_NOT_WRITABLE", f"'{self.out}' cannot be written: {error.strerror or error}; the same command goes on"
            ) from error
