"""The folder that predictions are written into: what lies there already, and whether it is this run's."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.inference.scan_files import SCAN_FILES, SUMMARY
from probseg.io.digest import file_sha256

__all__ = [
    "RUN_FILES",
    "WORKPLACE",
    "check_output",
    "clear_output",
    "differences",
    "finished",
    "read_summary",
    "refuse_links",
    "remove_leftovers",
]

RUN_FILES = ("volumes.csv", "manifest.json")
WORKPLACE = ".predicting"
"""Folder beside those of the scans while processes are at work: who they are, what each claimed, files half written."""

_TEMPORARY = re.compile(r"\.tmp\d+-[0-9a-f]{12}(\..*)?")  # as probseg.io.atomic names them


def check_output(out: Path, case_ids: Collection[str], terms: Mapping[str, Any], overwrite: bool) -> None:
    """Refuse a folder that holds what is not this run's; nothing is changed.

    Args:
        out: may be missing, or hold results of this very run, all or some.
        case_ids: of all scans of the run.
        terms: what made the results; see `probseg.inference.summary.provenance`.
        overwrite: whether other results may be replaced. Links are refused all the same.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"--out '{out}' is a file or a link; give a folder")
    if not out.is_dir():
        return
    refuse_links(out, (*RUN_FILES, WORKPLACE))
    for case_id in case_ids:
        folder = out / case_id
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise _in_the_way(folder)
        refuse_links(folder, (*SCAN_FILES, SUMMARY))
    if overwrite:
        return
    manifest = _read(out / "manifest.json")
    found = {path.parent.name: _read(path) for path in sorted(out.glob(f"*/{SUMMARY}"))}
    if manifest is not None:
        _require_ours(out / "manifest.json", manifest, out, terms)
    for name, summary in found.items():
        if summary is not None and (name in case_ids or "checkpoint_sha256" in summary):
            _require_ours(out / name / SUMMARY, summary, out, terms)
            if name not in case_ids:
                raise ProbsegError(
                    "E_OUTPUT_EXISTS",
                    f"'{out}' holds a prediction of scan '{name}', which is not among the inputs; give all of them "
                    "again, add --overwrite, or choose another --out",
                )
    begun = manifest is not None or (out / WORKPLACE).is_dir() or any(name in case_ids for name in found)
    if not begun and not all(_is_leftover(path, case_ids) for path in out.iterdir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; add --overwrite or choose another --out")


def refuse_links(folder: Path, names: Collection[str]) -> None:
    """E_OUTPUT_EXISTS where a link, or a folder, lies where a file of ours goes."""
    for name in names:
        path = folder / name
        if path.is_symlink() or (path.is_dir() and name != WORKPLACE):
            raise _in_the_way(path)


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a scan that is done; None where it, or a file that it lists, is not there as it was written."""
    summary = read_summary(folder)
    if summary is None:
        return None
    try:
        files = {str(name): str(sha256) for name, sha256 in summary["files"].items()}
        whole = all(name in SCAN_FILES and file_sha256(folder / name) == sha256 for name, sha256 in files.items())
    except (KeyError, AttributeError, OSError):
        return None
    return summary if whole and files else None


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a scan; None where there is none, or none that is whole."""
    return _read(folder / SUMMARY)


def differences(found: Mapping[str, Any], terms: Mapping[str, Any]) -> list[str]:
    """What made two results differently, as ``'settings.seed' is 0 there and 7 here``."""
    there, here = _flat(found), _flat(terms)
    told = []
    for name in [*here, *(n for n in there if n not in here and n.split(".")[0] in terms)]:
        if there.get(name) != here.get(name):
            if name.endswith("sha256"):
                told.append(f"'{name}' is another")
            else:
                told.append(f"'{name}' is {json.dumps(there.get(name))} there and {json.dumps(here.get(name))} here")
    return told


def clear_output(out: Path) -> None:
    """Remove what earlier runs left, by its names, so that nothing of it is taken for this run's."""
    for name in reversed(RUN_FILES):  # the manifest first: without it nothing counts as finished
        (out / name).unlink(missing_ok=True)
    for folder in sorted(out.iterdir()):
        if folder.is_dir() and not folder.is_symlink() and folder.name != WORKPLACE:
            ours = [folder / name for name in (SUMMARY, *SCAN_FILES)]
            ours = [path for path in ours if path.is_file() or path.is_symlink()]
            for path in ours:
                path.unlink(missing_ok=True)
            if remove_leftovers(folder) or ours:
                with contextlib.suppress(OSError):  # something of others is in it
                    folder.rmdir()
    remove_leftovers(out)


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files of a process that was killed while it wrote; how many there were."""
    found = [path for path in folder.glob(".tmp*") if _TEMPORARY.fullmatch(path.name)]
    found = [path for path in found if path.is_file() and not path.is_symlink()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _is_leftover(path: Path, case_ids: Collection[str]) -> bool:
    """Whether it is what a run that was killed early may have left: files of a scan that is not finished."""
    if not path.is_dir():
        return bool(_TEMPORARY.fullmatch(path.name))
    return path.name in case_ids and all(p.name in SCAN_FILES or _TEMPORARY.fullmatch(p.name) for p in path.iterdir())


def _require_ours(path: Path, content: Mapping[str, Any], out: Path, terms: Mapping[str, Any]) -> None:
    if "checkpoint_sha256" not in content:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{path}' is not of probseg predict; choose another --out")
    told = differences(content, terms)
    if told:
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise ProbsegError(
            "E_OUTPUT_EXISTS",
            f"'{out}' holds results that were made otherwise: {', '.join(told[:3])}{more}; add --overwrite to replace "
            "them, or choose another --out",
        )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _in_the_way(path: Path) -> ProbsegError:
    return ProbsegError(
        "E_OUTPUT_EXISTS",
        f"'{path}' lies where a result goes, but is a link or of another kind; remove it or choose another --out",
    )
