"""Pictures that ``probseg predict`` made itself, for predictions whose dataset was not given."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from probseg.io.predicted import check_digest
from probseg.report.inputs import StoredPredictions
from probseg.report.sections.cases import Panel

__all__ = ["previews"]

_PREVIEW = "preview.png"


def previews(predictions: Sequence[StoredPredictions], count: int) -> list[Panel]:
    """The first ``count`` previews of predictions without their dataset.

    Raises:
        ProbsegError: E_CORRUPT where a picture is not the one that the run finished.
    """
    found: list[Panel] = []
    for one in predictions:
        for scan in one.manifest["scans"] if one.dataset is None else ():
            digest = (scan.get("files") or {}).get(_PREVIEW)
            if digest is None or len(found) >= count:
                continue
            case_id = str(scan["case_id"])
            path = one.folder / case_id / _PREVIEW
            check_digest(path, str(digest), f"the preview of case '{case_id}'")
            source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
            words = f"case {case_id} as predicted: slices with the mode, the probability and the uncertainty"
            found.append(Panel(source, case_id, words))
    return found
