"""MONAI's transforms on the image and all raters' masks together.

Apart from the other transforms because importing MONAI takes seconds, which only those who use it should wait.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.data import get_track_meta, set_track_meta
from monai.transforms import MapTransform, Randomizable
from monai.utils import GridSamplePadMode, NumpyPadMode
from torch import Tensor

from probseg.batch import Example
from probseg.data.transforms import Transform
from probseg.errors import ProbsegError

__all__ = ["Monai"]

_IMAGE, _MASKS = "image", "masks"
_INTENSITY = ("monai.transforms.intensity", "monai.transforms.smooth_field")
_BLURS = ("RandSimulateLowResolutiond",)  # in MONAI's module spatial, but it brings every voxel back to its place
_NEAREST = ("nearest", 0)


class Monai(Transform):
    """A list of MONAI's dictionary transforms, applied in order.

    The transforms see the keys ``image``, ``(channels, *space)`` from 0 to 1, and ``masks``, ``(raters, *space)``, in
    which 0 is what is not rated and every label is one higher. What a transform brings in from outside, and fills with
    zeros, is therefore not rated, and what was not rated stays so. Those that move voxels (MONAI's module ``spatial``)
    move both keys, with the nearest label in the masks; those that change intensities change the image alone. So
    neither ``keys`` nor anything of the masks needs to be given: ``mode`` and ``padding_mode`` are the image's.

    Every random number comes from torch's, so that a seed and a loader's worker give the same examples again.

    Args:
        transforms: one mapping a transform, ``class_path`` and ``init_args``.

    Raises:
        ProbsegError: E_SCHEMA for a class that is no dictionary transform of MONAI's kind, for arguments that it does
            not take, and for a way of moving masks that would mix labels.
    """

    def __init__(self, transforms: list[dict[str, Any]]) -> None:
        if not transforms:
            raise ProbsegError("E_SCHEMA", "Monai needs at least one transform; leave it out otherwise")
        self.transforms = tuple(_build(entry) for entry in transforms)
        # One state for all of them, seeded anew for each example: to give each its own takes longer than they do.
        self._state = np.random.RandomState()  # the kind that MONAI draws from
        for transform in self.transforms:
            if isinstance(transform, Randomizable):
                transform.set_random_state(state=self._state)

    def __call__(self, example: Example) -> Example:
        """Change one example; the shape stays, or E_SHAPE_MISMATCH says which transform changed it."""
        coded = torch.where(example.rated, example.masks.float() + 1, 0.0)
        data: dict[str, Any] = {_IMAGE: example.image, _MASKS: coded}
        self._state.seed(int(torch.randint(0, 2**31 - 1, ())))
        with _without_history():
            for transform in self.transforms:
                data = _applied(transform, data)
                for key, before in ((_IMAGE, example.image), (_MASKS, coded)):
                    if data[key].shape != before.shape:
                        raise ProbsegError(
                            "E_SHAPE_MISMATCH",
                            f"{type(transform).__name__} made {tuple(data[key].shape)} of the {key} "
                            f"{tuple(before.shape)}; use it on square patches, or one that keeps the shape",
                        )
        masks = _plain(data[_MASKS])
        labels = masks.to(torch.uint8)
        if bool((labels != masks).any()):
            raise ProbsegError(
                "E_SCHEMA",
                f"{', '.join(type(t).__name__ for t in self.transforms)} made labels that are no whole numbers; let "
                "transforms of intensities have the key image alone",
            )
        rated = labels > 0
        return replace(
            example, image=_plain(data[_IMAGE]).float().clamp(0, 1), masks=labels - rated.byte(), rated=rated
        )


def _applied(transform: MapTransform, data: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(transform(data))
    except (NotImplementedError, ValueError, RuntimeError) as error:
        shape = tuple(data[_IMAGE].shape)
        raise ProbsegError("E_SCHEMA", f"{type(transform).__name__} of an image {shape}: {error}") from error


def _plain(values: Any) -> Tensor:
    tensor = torch.as_tensor(values)
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


@contextmanager
def _without_history() -> Iterator[None]:
    """MONAI would note every step in the tensors, which takes longer than some steps do."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _build(entry: Mapping[str, Any]) -> MapTransform:
    if not isinstance(entry, Mapping) or "class_path" not in entry or set(entry) - {"class_path", "init_args"}:
        raise ProbsegError("E_SCHEMA", f"a transform of Monai is a class_path with init_args, not {entry}")
    name = entry["class_path"]
    module, _, last = str(name).rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise ProbsegError("E_SCHEMA", f"there is no transform '{name}'; it starts with monai.transforms.") from error
    if not (isinstance(kind, type) and issubclass(kind, MapTransform)):
        raise ProbsegError("E_SCHEMA", f"'{name}' is no dictionary transform; those of MONAI end in d, as RandFlipd")
    given = dict(entry.get("init_args") or {})
    moves = not kind.__module__.startswith(_INTENSITY) and kind.__name__ not in _BLURS
    keys = given.pop("keys", [_IMAGE, _MASKS] if moves else [_IMAGE])
    keys = [keys] if isinstance(keys, str) else list(keys)
    if keys not in ([_IMAGE], [_IMAGE, _MASKS]) or (moves and len(keys) == 1 and kind.__module__.startswith("monai.")):
        raise ProbsegError("E_SCHEMA", f"keys of {last} must be image{' and masks' if moves else ''}, but are {keys}")
    if len(keys) == 2:
        given |= _modes(kind, last, given)
    try:
        return kind(keys=keys, **given)
    except (TypeError, ValueError) as error:
        raise ProbsegError("E_SCHEMA", f"{last}: {error}") from error


def _modes(kind: type, name: str, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Interpolation and padding of both keys: the image's as given, the nearest label and nothing for the masks."""
    parameters = inspect.signature(kind).parameters
    out: dict[str, list[Any]] = {}
    for argument in ("mode", "padding_mode"):
        if argument not in parameters:
            continue
        default = parameters[argument].default
        if argument == "mode":
            allowed: tuple[Any, ...] = _NEAREST
        elif isinstance(default, NumpyPadMode):
            allowed = (NumpyPadMode.CONSTANT.value,)
        else:
            allowed = (GridSamplePadMode.ZEROS.value, "constant", "grid-constant")
        value = given.get(argument, default)
        pair = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value, allowed[0]]
        if len(pair) != 2 or pair[1] not in allowed:
            raise ProbsegError(
                "E_SCHEMA", f"{argument} of {name} must be '{allowed[0]}' for the masks, but is {pair[1:]}"
            )
        out[argument] = [str(getattr(v, "value", v)) if not isinstance(v, int) else v for v in pair]
    return out
