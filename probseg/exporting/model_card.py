"""The model card: what a model is, what it learnt from, how well it does, and what it must not be used for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from probseg.exporting.about import About
from probseg.exporting.onnx_file import ONNX, TOLERANCE, OnnxFile
from probseg.exporting.run_facts import RunFacts
from probseg.family import family_name
from probseg.io.strict_yaml import yaml_text
from probseg.models import SegmentationModule
from probseg.models.rater_aware import RaterAware
from probseg.records import DatasetInfo
from probseg.report.results import Estimate
from probseg.report.table import COLUMNS

__all__ = ["model_card", "onnx_section"]

_NOT_A_DEVICE = (
    "Research software, not a medical device: nothing that it says is fit for diagnosis or treatment. It knows the "
    "classes below and nothing else, was made for images as its data are, and was not tested on others."
)
_UNSAID = "Nobody has said; ask whoever trained it."


def model_card(
    model: SegmentationModule,
    description: Mapping[str, Any],
    facts: RunFacts,
    about: About,
    onnx: OnnxFile | None,
    files: Mapping[str, int],
) -> str:
    """The text of the card, Markdown with the YAML front matter that Hugging Face reads.

    Args:
        model: with its calibrator in use if it has one.
        description: content of ``model.json``.
        facts: of the run.
        about: what people say.
        onnx: of the ONNX file, if there is one.
        files: names and sizes in bytes of the files beside the card.
    """
    info = model.info
    assert info is not None  # load_model binds it
    name = about.name or f"{family_name(description['family'])} on {info.name}"
    sections = {
        "": about.summary or f"A {description['family']} of probseg, trained on the masks of several raters.",
        "Intended use": about.intended_use or _UNSAID,
        "Limits": "\n\n".join(text for text in (about.limits, _NOT_A_DEVICE) if text),
        "Model": _model(model, description, info),
        "Data": "\n\n".join(text for text in (about.data, info.note, _data(info, facts)) if text),
        "Training": _training(facts.training),
        "Results": "\n\n".join(text for text in (_results(facts), about.evaluation) if text),
        "Calibration": _calibration(model),
        "Files": _files(description, files),
        "Use": _use(),
        "ONNX": onnx_section(model, onnx),
        "Licence": f"Weights: {about.licence}." if about.licence else _UNSAID,
        "Citation": about.citation or _UNSAID,
    }
    body = "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text)
    return f"---\n{yaml_text(_front_matter(name, description, info, facts, about))}---\n\n# {name}\n\n{body}\n"


def _front_matter(
    name: str, description: Mapping[str, Any], info: DatasetInfo, facts: RunFacts, about: About
) -> dict[str, Any]:
    front: dict[str, Any] = {"license": about.licence} if about.licence else {}
    front |= {
        "library_name": "probseg",
        "pipeline_tag": "image-segmentation",
        "tags": ["probseg", "medical-imaging", "uncertainty", "inter-rater-variability", description["family"]],
        "datasets": [info.name],
    }
    figures = {} if facts.result is None else _defined(facts.result.figures)
    if figures:
        front["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-segmentation"},
                        "dataset": {"type": info.name, "name": info.name, "split": "test"},
                        "metrics": [
                            {"type": metric, "value": float(f"{f.value:.6g}")} for metric, f in figures.items()
                        ],
                    }
                ],
            }
        ]
    return front


def _model(model: SegmentationModule, description: Mapping[str, Any], info: DatasetInfo) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    low, high = info.window
    lines = [
        f"- Family: `{description['model'].get('class_path')}`, {parameters:,} parameters; settings in `model.json`.",
        f"- Classes: {', '.join(info.labels.names)}.",
        *([f"- Groups: {', '.join(g.name for g in info.labels.groups)}."] if info.labels.groups else []),
        f"- Input: images of {info.dimensions} dimensions; intensities {low:g} to {high:g} become 0 to 1, clipped.",
        f"- Output: a distribution over segmentations, by default {model.draws.count} draws.",
    ]
    known = [part for part in model.modules() if isinstance(part, RaterAware)]
    lines += [f"- It knows {len(known[0].known)} raters by name, who stand in `model.json`."] if known else []
    return "\n".join(lines)


def _data(info: DatasetInfo, facts: RunFacts) -> str:
    raters = "persons, known by name" if info.stable_raters else "not the same persons from case to case"
    text = f"Dataset `{info.name}`. Its raters are {raters}."
    if not facts.splits:
        return f"{text} How many cases there were is not recorded here."
    rows = [
        f"| {s.name} | {s.patients} | {s.cases} | {_range(s.raters)} | {', '.join(s.sites) or 'not named'} |"
        for s in facts.splits
    ]
    table = "\n".join(["| split | patients | cases | raters a case | sites |", "|---|---|---|---|---|", *rows])
    shared = f"{facts.shared} patients are in more than one split" if facts.shared else "No patient is in two splits"
    return f"{text} {shared}.\n\n{table}"


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _training(training: Mapping[str, Any]) -> str:
    words = {
        "seed": "seed",
        "steps": "steps",
        "epochs": "epochs",
        "train_seconds": "seconds, other work on the machine included",
        "threads": "threads",
        "precision": "precision",
    }
    known = [f"- {text}: {training[key]}" for key, text in words.items() if training.get(key) is not None]
    if "warm_start" in training:
        known.append(f"- began from other weights: {'no' if training['warm_start'] is None else 'yes'}")
    versions = training.get("versions") or {}
    known += [f"- versions: {', '.join(f'{n} {v}' for n, v in versions.items())}"] if versions else []
    return "\n".join(known) if known else "Not recorded."


def _defined(figures: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {metric: f for metric, f in figures.items() if f.defined}


def _results(facts: RunFacts) -> str:
    if facts.result is None:
        return "The run was not tested with `probseg test`."
    summary, figures = facts.result.summary, _defined(facts.result.figures)
    cases, patients = summary.get("cases"), summary.get("patients")
    whose = f"{cases} test cases of {patients} patients" if cases and patients else "the test cases"
    draws = f", {summary['draws']} draws each" if summary.get("draws") else ""
    rows = [f"| `{m}` | {f.value:.4f} | {_interval(f)} | {f.n} |" for m, f in figures.items()]
    table = "\n".join(["| figure | value | 95 % interval | cases |", "|---|---|---|---|", *rows])
    told = [f"- `{c.metric}` ({c.better}): {c.meaning}" for c in COLUMNS if c.metric in figures]
    return "\n\n".join(
        [f"`probseg test` on {whose}{draws}; intervals are bootstraps over patients.", table, "\n".join(told)]
    )


def _interval(f: Estimate) -> str:
    return f"{f.low:.4f} to {f.high:.4f}" if f.has_interval else ""


def _calibration(model: SegmentationModule) -> str:
    if model.calibration is None:
        return "None: probabilities are as the network gives them."
    record = model.calibration.get("fitted_on") or {}
    text = f"{model.calibration['method']}, which `probseg predict` applies."
    if {"cases", "patients", "split"} <= set(record):
        text += f" Fitted on {record['cases']} cases of {record['patients']} patients, split {record['split']}."
    figures = record.get("figures") or {}
    rows = [
        f"| `{metric}` | {_number(before)} | {_number((figures.get('after') or {}).get(metric) or {})} |"
        for metric, before in (figures.get("before") or {}).items()
    ]
    return (
        "\n\n".join([text, "\n".join(["| on these cases | before | after |", "|---|---|---|", *rows])])
        if rows
        else text
    )


def _number(interval: Mapping[str, float | None]) -> str:
    value = interval.get("value")
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"


def _files(description: Mapping[str, Any], files: Mapping[str, int]) -> str:
    rows = [f"| `{name}` | {size:,} |" for name, size in files.items()]
    table = "\n".join(["| file | bytes |", "|---|---|", *rows])
    return f"{table}\n\nSHA-256 of `model.safetensors`: `{description['weights_sha256']}`. Nothing here is a pickle."


def _use() -> str:
    return (
        "    probseg check FOLDER\n    probseg predict FOLDER SCAN --out predictions\n\n"
        "or in Python `probseg.models.load_model(FOLDER)`."
    )


def onnx_section(model: SegmentationModule, onnx: OnnxFile | None) -> str:
    """What the ONNX file is, takes and gives; nothing where there is none."""
    if onnx is None:
        return ""
    space = ", ".join(onnx.axes)
    noise = (
        f", and `noise` `(readings, {onnx.noise_size})` of standard normal numbers, one row a reading, the same "
        "rows for every slice of a scan"
        if onnx.noise_size
        else ""
    )
    after = " Its logits are calibrated." if model.calibration is not None else ""
    return (
        f"`{ONNX}` (opset {onnx.opset}) is {_computes(model)}\n\n"
        f"It takes `image` `(batch, channels, {space})`, float32 with intensities as in the file, which it normalises "
        f"itself{noise}, and gives `logits` `(models, readings, batch, classes, {space})`. All sizes but channels and "
        f"classes are free.{after} Run by onnxruntime at several sizes, its probabilities were compared with "
        f"PyTorch's: the largest difference was {onnx.difference:.1e} (at most {TOLERANCE:g} passes)."
    )


def _computes(model: SegmentationModule) -> str:
    """What the graph is, from the docstring's list of `DeterministicPart`."""
    kinds = {type(part).__name__ for part in model.modules()}
    if "MonteCarloDropout" in kinds:
        return "the network with no channel dropped, one answer rather than the draws of dropout."
    if "SWAG" in kinds:
        return "the model at the mean of its weights, one answer rather than draws of weights."
    if "TestTimeAugmentation" in kinds:
        return "the model on the image as it is, without the changed images."
    if kinds & {"RaterConditioned", "RaterConfusion"}:
        return "the model with one reading a rater, in the order of their names in `model.json`."
    return "the whole model but for its random numbers, which are an input."
