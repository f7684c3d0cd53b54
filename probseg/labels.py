"""What a label means: leaf classes, groups of them, and the values that stand for them in files.

Inside the package a mask holds *dense labels*: 0 to C-1 are the leaf classes in order, then one label for each group,
then ``unknown``. Files hold *values*, which the label set translates at the border (`LabelSet.encode`, `decode`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["LabelClass", "LabelGroup", "LabelSet"]

_MOST_LABELS = 255  # dense labels are uint8, and 255 marks a value that is not declared


@dataclass(frozen=True)
class LabelClass:
    """A leaf class: one of several that exclude each other.

    Attributes:
        value: the integer that stands for it in files, 0 to 65535.
        name: unique within the label set.
        colour: ``#rrggbb`` or None.
        code: coded concept ``scheme:value:meaning`` (``SCT:50196008:Ground glass opacity``) or None.
    """

    value: int
    name: str
    colour: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class LabelGroup:
    """Several leaf classes under one name; with a ``value`` a rater may draw the group itself."""

    name: str
    classes: tuple[str, ...]
    value: int | None = None
    colour: str | None = None


@dataclass(frozen=True)
class LabelSet:
    """Leaf classes, class 0 being background, their groups, and which classes each label admits.

    Example:
        >>> labels = LabelSet((LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
        ...                   (LabelGroup("opacity", ("glass", "solid"), value=20),), unknown=255)
        >>> labels.admissible.astype(int).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
        >>> labels.encode(np.array([[0, 10], [20, 255]])).tolist()
        [[0, 2], [3, 4]]
    """

    classes: tuple[LabelClass, ...]
    groups: tuple[LabelGroup, ...] = ()
    unknown: int | None = None

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes] + [g.name for g in self.groups]
        values = list(self.values)
        # judged before any of them is printed or compared: YAML makes `no` a boolean and may nest lists without end
        if not all(isinstance(n, str) and n for n in names):
            raise ProbsegError("E_SCHEMA", "label names must be texts; put names such as no, on or 0x1 in quotes")
        if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 65535 for v in values):
            raise ProbsegError("E_SCHEMA", "label values must be whole numbers from 0 to 65535")
        if len(values) > _MOST_LABELS:
            raise ProbsegError("E_SCHEMA", f"a label set has at most {_MOST_LABELS} labels, but this has {len(values)}")
        if len(self.classes) < 2:
            raise ProbsegError("E_SCHEMA", "a label set needs background and at least one more class")
        for kind, counts in (("name", Counter(names)), ("value", Counter(values))):
            twice = sorted(str(entry) for entry, n in counts.items() if n > 1)
            if twice:
                raise ProbsegError("E_SCHEMA", f"every label {kind} must be used once, but {', '.join(twice)} repeats")
        for group in self.groups:
            missing = [n for n in group.classes if n not in self.names]
            if missing or not group.classes:
                raise ProbsegError("E_SCHEMA", f"group '{group.name}' must list leaf classes; unknown: {missing}")

    @classmethod
    def binary(cls, name: str) -> LabelSet:
        """Background 0 and one foreground class 1."""
        return cls((LabelClass(0, "background"), LabelClass(1, name)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the leaf classes, background first."""
        return tuple(c.name for c in self.classes)

    @property
    def num_classes(self) -> int:
        """C, the number of leaf classes including background."""
        return len(self.classes)

    @cached_property
    def _valued_groups(self) -> tuple[LabelGroup, ...]:
        return tuple(g for g in self.groups if g.value is not None)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The file value of each dense label: leaf classes, groups that have a value, unknown."""
        groups = tuple(g.value for g in self._valued_groups if g.value is not None)
        return (*(c.value for c in self.classes), *groups, *(() if self.unknown is None else (self.unknown,)))

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The name of each dense label, in the order of ``values``."""
        groups = tuple(g.name for g in self._valued_groups)
        return (*self.names, *groups, *(() if self.unknown is None else ("unknown",)))

    @cached_property
    def admissible(self) -> NDArray[np.bool_]:
        """``(labels, classes)``: which leaf classes each dense label allows; unknown allows all."""
        rows = [np.eye(self.num_classes, dtype=bool)]
        rows += [self.members(g.name)[None] for g in self._valued_groups]
        rows += [] if self.unknown is None else [np.ones((1, self.num_classes), dtype=bool)]
        return np.concatenate(rows)

    def members(self, name: str) -> NDArray[np.bool_]:
        """``(classes,)``: which leaf classes a class or group of this name consists of."""
        group = next((g for g in self.groups if g.name == name), None)
        wanted = (name,) if group is None else group.classes
        if name not in self.names and group is None:
            known = ", ".join((*self.names, *(g.name for g in self.groups)))
            raise ProbsegError("E_UNKNOWN_LABEL", f"no class or group is called '{name}'; there are {known}")
        return np.array([n in wanted for n in self.names])

    @cached_property
    def structures(self) -> tuple[str, ...]:
        """What tables have a row for: every foreground class, then every group."""
        return (*self.names[1:], *(g.name for g in self.groups))

    def membership(self, name: str) -> NDArray[np.int8]:
        """``(labels,)``: 1 where a dense label lies inside the class or group, 0 outside, -1 where both are open."""
        return self.membership_of(self.members(name))

    def membership_of(self, inside: NDArray[np.bool_]) -> NDArray[np.int8]:
        """The same of any set of leaf classes, ``(classes,)``."""
        some = (self.admissible & inside).any(axis=1)
        others = (self.admissible & ~inside).any(axis=1)
        return np.where(some & others, -1, some.astype(np.int8)).astype(np.int8)

    def encode(self, mask: NDArray, what: str = "mask") -> NDArray[np.uint8]:
        """File values to dense labels; ``what`` names the mask in the error.

        Raises:
            ProbsegError: E_NONFINITE, E_DTYPE or E_UNKNOWN_LABEL with the offending values and their voxel counts.
        """
        if mask.dtype.kind == "f":
            if not np.isfinite(mask).all():
                raise ProbsegError("E_NONFINITE", f"{what} holds {int((~np.isfinite(mask)).sum())} voxels that are NaN")
            if (mask != np.round(mask)).any():
                raise ProbsegError("E_UNKNOWN_LABEL", f"{what} must hold whole numbers, but has fractions")
            mask = mask.astype(np.int64)
        elif mask.dtype.kind not in "iub":
            raise ProbsegError("E_DTYPE", f"{what} must hold integers, but its type is {mask.dtype}")
        low, high = (int(mask.min()), int(mask.max())) if mask.size else (0, 0)
        if low >= 0 and high <= 65535:
            table = np.full(high + 1, 255, dtype=np.uint8)
            for label, value in enumerate(self.values):
                if value <= high:
                    table[value] = label
            labels = table[mask.astype(np.intp, copy=False)]
            known = labels != 255
        else:
            known = np.isin(mask, self.values)
            labels = np.zeros(mask.shape, dtype=np.uint8)
        if not known.all():
            found, counts = np.unique(mask[~known], return_counts=True)
            shown = ", ".join(f"{v} ({n} voxels)" for v, n in zip(found[:5].tolist(), counts[:5], strict=True))
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"{what} holds {shown}{more}, but the label set declares {sorted(self.values)}; declare the value in "
                "dataset.yaml or correct the mask",
            )
        return labels

    def decode(self, labels: NDArray) -> NDArray:
        """Dense labels to file values, uint8 where they fit and uint16 otherwise."""
        values = np.asarray(self.values)
        return values.astype(np.uint8 if values.max() < 256 else np.uint16)[labels]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for YAML and for checkpoints."""
        classes = [_without_none(c) for c in self.classes]
        groups = [{**_without_none(g), "classes": list(g.classes)} for g in self.groups]
        out: dict[str, Any] = {"classes": classes}
        if groups:
            out["groups"] = groups
        if self.unknown is not None:
            out["unknown"] = self.unknown
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelSet:
        """The inverse of `to_dict`; E_SCHEMA names a key that does not belong."""
        _only(data, ("classes", "groups", "unknown"), "labels")
        classes = tuple(_build(LabelClass, c, "labels.classes") for c in _listed(data.get("classes"), "labels.classes"))
        groups = tuple(
            _build(LabelGroup, {**g, "classes": _names(g.get("classes"))}, "labels.groups")
            for g in _listed(data.get("groups"), "labels.groups")
        )
        return cls(classes, groups, data.get("unknown"))


def _listed(entries: Any, where: str) -> Sequence[Mapping[str, Any]]:
    if entries is None:
        return ()
    if not isinstance(entries, list | tuple) or not all(isinstance(e, Mapping) for e in entries):
        raise ProbsegError("E_SCHEMA", f"{where} must be a list of mappings, each with a name")
    return entries


def _names(entries: Any) -> tuple[str, ...]:
    if not isinstance(entries, list | tuple) or not all(isinstance(e, str) for e in entries):
        raise ProbsegError("E_SCHEMA", "classes of a group in labels.groups must be a list of class names")
    return tuple(entries)


def _without_none(item: object) -> dict[str, Any]:
    return {k: v for k, v in vars(item).items() if v is not None}


def _only(data: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    strange = sorted(set(data) - set(allowed))
    if strange:
        raise ProbsegError("E_SCHEMA", f"{where} has no key '{strange[0]}'; the keys are {', '.join(allowed)}")


def _build(kind: type, data: Any, where: str) -> Any:
    fields = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    _only(data, fields, where)
    try:
        return kind(**data)
    except TypeError as error:
        raise ProbsegError("E_SCHEMA", f"{where}: {error}") from error
