"""Run folders, as ``probseg test`` leaves them, read back for the report."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError, warn
from probseg.evaluation import RATERS
from probseg.report.csv_rows import read_count, read_number, read_rows
from probseg.report.results import CaseTable, Estimate, Example, Reliability, RunResult, raters_differ

__all__ = ["find_runs", "load_run"]

_EXAMPLE_ARRAYS = (
    "case_id",
    "image",
    "masks",
    "rated",
    "mean",
    "entropy",
    "epistemic",
    "ambiguity",
    "noise",
    "readings",
)


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The run folders among ``folders``; a folder with ``runs/`` inside stands for every run there.

    Raises:
        ProbsegError: E_FILE_MISSING where a folder does not exist or holds no tested run.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ProbsegError("E_FILE_MISSING", f"there is no folder '{folder}'; give a run folder of `probseg test`")
        if not (folder / "runs").is_dir():
            found.append(folder)
            continue
        inside = sorted(p for p in (folder / "runs").iterdir() if p.is_dir())
        tested = [p for p in inside if (p / "results.csv").is_file()]
        if not tested:
            raise ProbsegError(
                "E_FILE_MISSING", f"no run in '{folder / 'runs'}' has a results.csv; run `probseg test` on one first"
            )
        for path in inside:
            if path not in tested:
                warn("W_NO_RESULTS", f"run '{path}' has no results.csv and is left out; `probseg test` writes it")
        found += tested
    return list({path.resolve(): path for path in found}.values())


def load_run(folder: str | Path) -> RunResult:
    """Read one tested run, or what ``probseg evaluate`` wrote of a model's predictions.

    ``results.csv`` must be there; whatever is missing of ``test/`` is None in the result and the report says so.

    Raises:
        ProbsegError: E_FILE_MISSING without results.csv, E_PARSE or E_SCHEMA where a file is not what it should be.
    """
    folder = Path(folder)
    results = folder / "results.csv"
    if not results.is_file():
        raise ProbsegError("E_FILE_MISSING", f"there is no '{results}'; `probseg test` writes it")
    family, figures = _read_results(results)
    evaluated = (folder / "evaluation.json").is_file()
    test = folder if evaluated else folder / "test"
    return RunResult(
        folder=folder,
        family=family,
        figures=figures,
        summary=_summary_of_evaluation(folder) if evaluated else _read_summary(test / "summary.json"),
        cases=_read_cases(test / "cases.csv"),
        reliability=_read_reliability(test / "reliability.csv"),
        examples=_read_examples(test / "examples.npz"),
        reliability_before=_read_reliability(test / "reliability_before.csv"),
    )


def _read_results(path: Path) -> tuple[str, dict[str, Estimate]]:
    rows = read_rows(path, ("family", "metric", "value", "low", "high", "n"))
    overall = [r for r in rows if not r.get("site") and not r.get("class")]  # rows a site or class are parts of these
    families = sorted({r["family"] for r in overall})
    if len(families) == 2 and RATERS in families:  # of an evaluation, which has the raters beside the model
        families.remove(RATERS)
        overall = [r for r in overall if r["family"] != RATERS]
    if len(families) != 1:
        raise ProbsegError(
            "E_SCHEMA", f"'{path}' must hold the figures of one family, but holds {len(families)}; give a run folder"
        )
    figures = {
        r["metric"]: Estimate(
            read_number(r["value"], path),
            read_number(r["low"], path),
            read_number(r["high"], path),
            read_count(r["n"], path),
        )
        for r in overall
    }
    return families[0], figures


def _read_summary(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must be a JSON object")
    return data


def _summary_of_evaluation(folder: Path) -> Mapping[str, Any]:
    """What the summary of a test would say, of ``evaluation.json``."""
    data = _read_summary(folder / "evaluation.json")
    readings = data.get("readings") or [None]
    wanted = ("dataset", "class_path", "cases", "patients", "raters_max")
    further = {name: data[name] for name in ("calibration", "made_by") if name in data}
    return {
        **{name: data.get(name) for name in wanted},
        **further,
        "draws": readings[0] if len(readings) == 1 else None,
    }


def _read_cases(path: Path) -> CaseTable | None:
    if not path.is_file():
        return None
    rows = read_rows(path, ("case_id", "patient_id"))
    metrics = [c for c in (rows[0] if rows else ()) if c not in ("case_id", "patient_id", "site", "readings")]
    return CaseTable(
        tuple(r["case_id"] for r in rows),
        tuple(r["patient_id"] for r in rows),
        {m: np.array([read_number(r[m], path) for r in rows]) for m in metrics},
    )


def _read_reliability(path: Path) -> Reliability | None:
    if not path.is_file():
        return None
    rows = read_rows(path, ("confidence", "frequency", "count"))
    whole = [r for r in rows if not any(r.get(name) for name in ("site", "rater", "class"))]
    whole = [r for r in whole if r.get("region", "region") == "region"]
    kept = [r for r in whole if read_count(r["count"], path) > 0]
    return Reliability(
        np.array([read_number(r["confidence"], path) for r in kept]),
        np.array([read_number(r["frequency"], path) for r in kept]),
        np.array([read_count(r["count"], path) for r in kept], dtype=np.int64),
    )


def _read_examples(path: Path) -> Mapping[str, Example] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [n for n in _EXAMPLE_ARRAYS if n not in archive.files]
            if missing:
                raise ProbsegError("E_SCHEMA", f"'{path}' lacks the array '{missing[0]}'")
            arrays = {n: archive[n] for n in _EXAMPLE_ARRAYS}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not a readable NPZ file: {error}") from error
    _check_examples(arrays, path)
    return {str(case_id): _example(arrays, k) for k, case_id in enumerate(arrays["case_id"])}


def _check_examples(arrays: Mapping[str, NDArray], path: Path) -> None:
    """Every array has the cases first and the image's space last."""
    cases, space = len(arrays["case_id"]), arrays["image"].shape[1:]
    for name in _EXAMPLE_ARRAYS[1:]:
        shape = arrays[name].shape
        if len(space) not in (2, 3) or shape[0] != cases or shape[-len(space) :] != space:
            raise ProbsegError(
                "E_SCHEMA", f"array '{name}' in '{path}' has shape {shape}, which does not fit {cases} cases of {space}"
            )


def _example(arrays: Mapping[str, NDArray], k: int) -> Example:
    """Case k as a plane: of a volume, the slice on which the raters disagree most, the same for every family."""
    masks, rated = arrays["masks"][k], arrays["rated"][k].astype(bool)
    chosen: int | None = None
    where: tuple[Any, ...] = (Ellipsis,)
    if arrays["image"].ndim == 4:
        differs = raters_differ(masks, rated).sum(axis=(1, 2))
        drawn = ((masks > 0) & rated).any(axis=0).sum(axis=(1, 2))
        chosen = int(np.lexsort((drawn, differs))[-1])
        where = (Ellipsis, chosen, slice(None), slice(None))
    return Example(
        case_id=str(arrays["case_id"][k]),
        image=arrays["image"][k][where].astype(np.float32),
        masks=masks[where],
        rated=rated[where],
        mean=arrays["mean"][k][where].astype(np.float32),
        maps={n: arrays[n][k][where].astype(np.float32) for n in ("entropy", "epistemic", "ambiguity", "noise")},
        readings=arrays["readings"][k][where],
        slice_index=chosen,
        slices=arrays["image"].shape[1] if chosen is not None else None,
    )
