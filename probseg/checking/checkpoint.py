"""A checkpoint or a safetensors file in figures; nothing that it brings along is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from probseg.checking.finding import Finding
from probseg.io.safetensors_header import read_header
from probseg.zoo import typed

__all__ = ["check_checkpoint"]


def check_checkpoint(path: Path) -> Finding:
    """Read a checkpoint; one of probseg's is also built, so that its weights are known to fit its model.

    Raises:
        ProbsegError: the codes of `probseg.models.checkpoints.read_weights`, E_CLASS_MISMATCH, E_SCHEMA.
    """
    if path.name.lower().endswith(".safetensors") and not path.with_name("model.json").is_file():
        shapes = read_header(path)
        facts: dict[str, Any] = {"kind": "checkpoint", "weights": len(shapes), "family": None}
        return Finding(facts, [f"weights   {len(shapes)} tensors, all finite"])
    from probseg.models.calibration import use_calibration
    from probseg.models.checkpoints import read_weights
    from probseg.models.exported import is_weights

    content = read_weights(path)
    weights = content["state_dict"]
    count = sum(v.numel() for v in weights.values())
    facts = {"kind": "checkpoint", "weights": len(weights), "parameters": count, "family": None}
    lines = [f"weights   {len(weights)} tensors of {count} numbers, all finite"]
    described = content.get("probseg")
    if not isinstance(described, dict):
        return Finding(facts, [*lines, "family    not known: it was not written by probseg fit"])
    from probseg.models.loading import load_model

    model = load_model(path)
    if is_weights(path):  # a run's may be of a class that only predict --calibration lets in
        use_calibration(model, path)
    facts["family"] = type(model).__name__
    facts["classes"] = None if model.info is None else list(model.info.labels.names)
    lines += [f"family    {facts['family']}", f"classes   {', '.join(facts['classes'] or ())}"]
    if model.calibration is not None:
        facts["calibration"] = model.calibration["method"]
        lines.append(f"calibrated by {facts['calibration']}")
    return Finding(facts, lines, f"probseg predict {typed(path)} SCAN --out predictions")
