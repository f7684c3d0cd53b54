"""An exported folder exported again: the same files and card, and the ONNX file that it may have lacked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from probseg.exporting.folder import CARD, KEPT, Exported, check_place, graph_of, replacing_folder, sizes_of
from probseg.exporting.model_card import onnx_section
from probseg.exporting.onnx_file import ONNX
from probseg.models import SegmentationModule
from probseg.models.exported import DESCRIPTION

__all__ = ["copy_export"]

_TITLE = "\n## ONNX\n"


def copy_export(
    model: SegmentationModule, source: Path, out: Path, onnx: bool = True, overwrite: bool = False
) -> Exported:
    """Copy an exported folder, byte for byte but for the ONNX file and what the card says of it.

    Args:
        model: of the folder, with its calibrator in use if it has one.
        source: the folder.
        out: where to.
        onnx: whether to write ``model.onnx``.
        overwrite: replace an export that is there.

    Raises:
        ProbsegError: the codes of `probseg.exporting.folder.export_model`.
    """
    check_place(out, overwrite)
    with replacing_folder(out) as folder:
        for name in KEPT:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        graph = graph_of(model, folder / ONNX, description) if onnx else None
        card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
        kept, _, rest = card.partition(_TITLE)
        told = f"{_TITLE}\n{onnx_section(model, graph)}\n" if graph is not None else ""
        following = rest[rest.find("\n## ") :] if "\n## " in rest else ""
        (folder / CARD).write_text(kept + following + told, encoding="utf-8")
        files = sizes_of(folder)
    return Exported(files, graph)
