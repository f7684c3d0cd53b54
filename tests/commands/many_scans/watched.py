"""``probseg`` that writes down which scans a network has seen, into the file that the variable LOG names.

A script of its own, because Lightning starts it again for further processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from probseg.cli import main
from probseg.inference import predictor, scan_files

predict_scan = predictor.predict_scan


def watch(log: Path, before: Callable[[], None] = lambda: None) -> None:
    """A line for each scan: its name, and how its process speaks with others. Pictures are left out; they are slow."""

    def logged(model: Any, case: Any, *rest: Any) -> Any:
        group = torch.distributed.get_backend() if torch.distributed.is_initialized() else ""
        with log.open("a") as file:
            file.write(f"{case.case_id} {group}\n")
        before()
        return predict_scan(model, case, *rest)

    torch.set_num_threads(1)
    predictor.predict_scan = logged  # type: ignore[assignment]
    scan_files.preview_png = lambda *_: b"picture"


if __name__ == "__main__":
    watch(Path(os.environ["LOG"]))
    sys.exit(main())
