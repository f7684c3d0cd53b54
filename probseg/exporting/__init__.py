"""A trained model as a folder that others can use: weights, description, card, graph."""

from __future__ import annotations

from probseg.exporting.about import About, read_about
from probseg.exporting.copying import copy_export
from probseg.exporting.folder import Exported, export_model
from probseg.exporting.onnx_file import missing_onnx
from probseg.exporting.run_facts import RunFacts, facts_of

__all__ = ["About", "Exported", "RunFacts", "copy_export", "export_model", "facts_of", "missing_onnx", "read_about"]
