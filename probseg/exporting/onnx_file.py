"""The deterministic part of a model as an ONNX file whose outputs were compared with PyTorch's."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from probseg.errors import ProbsegError
from probseg.exporting.deterministic_part import DeterministicPart

__all__ = ["ONNX", "TOLERANCE", "OnnxFile", "missing_onnx", "write_onnx"]

ONNX = "model.onnx"
TOLERANCE = 1e-4
"""The largest difference of a probability from PyTorch's that passes."""

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_SPACE = {2: ("rows", "columns"), 3: ("slices", "rows", "columns")}
_TRACED = {2: (45, 50), 3: (7, 21, 18)}  # sizes that need padding, so that padding is in the graph
_CHECKED = {2: ((45, 50), (64, 64), (33, 80)), 3: ((7, 21, 18), (8, 32, 32))}


@dataclass(frozen=True)
class OnnxFile:
    """What was written, for the card.

    Attributes:
        opset: of the operators.
        noise_size: length of a row of the input ``noise``; 0 where there is no such input.
        difference: the largest difference of a probability from PyTorch's that was found.
        axes: names of the axes of space.
    """

    opset: int
    noise_size: int
    difference: float
    axes: tuple[str, ...]


def missing_onnx() -> str | None:
    """The first package that the ONNX file needs and that is not installed; None where all are."""
    return next((name for name in _NEEDED if find_spec(name) is None), None)


def write_onnx(part: DeterministicPart, path: Path, metadata: Mapping[str, Any]) -> OnnxFile:
    """Write a model as ONNX and compare its outputs with PyTorch's for several sizes.

    Args:
        part: in evaluation mode.
        path: of the file; it is left only if the outputs agree.
        metadata: what the file says of itself, in plain types.

    Raises:
        ProbsegError: E_NO_ONNX where torch cannot make a graph with free sizes of this model, E_ONNX_DIFFERS where
            outputs differ by more than `TOLERANCE`.
    """
    import onnx

    try:
        with _quiet():
            program = _program(part)
    except Exception as error:  # the exporter raises whatever it meets
        raise ProbsegError(
            "E_NO_ONNX",
            f"torch cannot make a graph with free sizes of this model ({type(error).__name__})",
        ) from error
    proto = program.model_proto
    axes = _SPACE[part.axes]
    _name_axes(proto, ("batch", "", *axes))
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = f"probseg.{key}", value if isinstance(value, str) else json.dumps(value)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    opset = next(entry.version for entry in proto.opset_import if entry.domain == "")
    try:
        difference = _largest_difference(part, path)
    except ProbsegError:
        path.unlink()
        raise
    if not difference <= TOLERANCE:
        path.unlink()
        raise ProbsegError(
            "E_ONNX_DIFFERS",
            f"probabilities of the ONNX file differ from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}; give "
            "--no-onnx and report this model",
        )
    return OnnxFile(opset, part.noise_size, difference, axes)


def _inputs(
    part: DeterministicPart, batch: int, readings: int, space: tuple[int, ...], seed: int
) -> tuple[Tensor, ...]:
    """An image somewhat wider than the window, and noise where the model takes it."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, part.channels, *space, generator=generator) * 1.2 - 0.1
    image = image / part.scale + part.low
    if not part.noise_size:
        return (image,)
    return image, torch.randn(readings, part.noise_size, generator=generator)


def _program(part: DeterministicPart) -> Any:
    free = torch.export.Dim.DYNAMIC
    inputs = _inputs(part, 2, 3, _TRACED[part.axes], 0)
    shapes = ({0: free, **{k + 2: free for k in range(part.axes)}}, {0: free})[: len(inputs)]
    with torch.enable_grad():  # without, some networks take a way that is fast and no graph
        traced = torch.export.export(
            part, inputs, dynamic_shapes=shapes, strict=False, prefer_deferred_runtime_asserts_over_guards=True
        )
        return torch.onnx.export(
            traced,
            (),
            dynamo=True,
            verbose=False,
            input_names=["image", "noise"][: len(inputs)],
            output_names=["logits"],
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's advice, and without the checks of distributions, which are no part of a graph."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")]
    levels, validated = [logger.level for logger in loggers], Distribution._validate_args
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        Distribution.set_default_validate_args(False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Distribution.set_default_validate_args(validated)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _name_axes(proto: Any, image: tuple[str, ...]) -> None:
    """Free sizes are called by what they are; torch numbers them."""
    graph = proto.graph
    names: dict[str, str] = {}
    for value, axes in zip(graph.input, (image, ("readings", "")), strict=False):
        for size, name in zip(value.type.tensor_type.shape.dim, axes, strict=True):
            if size.dim_param:
                names[size.dim_param] = name
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]
    del graph.value_info[:]  # speaks of the numbers


def _largest_difference(part: DeterministicPart, path: Path) -> float:
    """Of any probability from PyTorch's, over several sizes of batch, readings and image; NaN counts as infinite."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot run, it raises
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for k, space in enumerate(_CHECKED[part.axes]):
        inputs = _inputs(part, 1 + (k + 1) % 3, 1 + 2 * k, space, k)
        with torch.no_grad():
            wanted = part(*inputs).softmax(dim=3).numpy()
        names = ("image", "noise")[: len(inputs)]
        try:
            (logits,) = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
        except Exception as error:  # onnxruntime has no class of its own for all that it raises
            raise ProbsegError(
                "E_NO_ONNX", f"the graph that torch makes of this model does not run on images of {space}"
            ) from error
        found = torch.from_numpy(logits).softmax(dim=3).numpy()
        largest = max(largest, _difference(wanted, found))
    return largest


def _difference(wanted: NDArray, found: NDArray) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(wanted - found).max())
