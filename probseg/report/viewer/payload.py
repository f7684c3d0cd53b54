"""The viewer's part of a page: as many cases as it may hold, the worst first, in text that no name can break out of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from markupsafe import Markup

from probseg.labels import LabelSet
from probseg.report.gallery import structure_of_interest
from probseg.report.plots.style import CLASS_COLOURS, hex_colour
from probseg.report.viewer.layers import ViewedCase

__all__ = ["DEFAULT_MB", "Candidate", "Payload", "choose_cases", "json_for_script"]

DEFAULT_MB = 60.0
"""Most MB that scans add to a page, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A case that may be viewed.

    Attributes:
        name: of the case, for messages.
        anchor: the identifier of its row in the table of cases.
        labels: of its dataset.
        numbers: heading and text of what is known of it.
        make: makes the layers, coarser where asked to.
    """

    name: str
    anchor: str
    labels: LabelSet
    numbers: tuple[tuple[str, str], ...]
    make: Callable[[bool], ViewedCase]


@dataclass(frozen=True)
class Payload:
    """What goes into the page.

    Attributes:
        index: JSON of the cases, without the volumes, fit for a script element.
        volumes: identifier and text of each volume.
        cases: names of the cases in the viewer.
        anchors: of the rows that have a case in the viewer, to its place there.
        messages: what did not fit, in words.
    """

    index: Markup
    volumes: tuple[tuple[str, str], ...]
    cases: tuple[str, ...]
    anchors: Mapping[str, int]
    messages: tuple[str, ...]


def choose_cases(candidates: Iterable[Candidate], count: int, most_mb: float = DEFAULT_MB) -> Payload | None:
    """The first ``count`` candidates that fit; None where there is none to view.

    A case that does not fit as it is comes coarser, and one that does not even then is left out; the messages say so.
    """
    left = most_mb * 1e6
    entries: list[dict[str, Any]] = []
    volumes: list[tuple[str, str]] = []
    messages: list[str] = []
    anchors: dict[str, int] = {}
    chosen: list[str] = []
    for candidate in islice(candidates, count):
        viewed = candidate.make(False)
        if viewed.size > left:
            whole = viewed.size
            viewed = candidate.make(True)
            if viewed.size > left:
                messages.append(
                    f"{candidate.name} is not in the viewer: it needs {viewed.size / 1e6:.1f} MB and "
                    f"{left / 1e6:.1f} of {most_mb:g} MB are left; --viewer-mb gives it more"
                )
                continue
            messages.append(
                f"{candidate.name} is coarser in the viewer than it is: whole it needs {whole / 1e6:.1f} MB and "
                f"{left / 1e6:.1f} of {most_mb:g} MB are left; --viewer-mb gives it more"
            )
        left -= viewed.size
        place = len(entries)
        anchors[candidate.anchor] = place
        chosen.append(candidate.name)
        entries.append(_entry(candidate, viewed, place))
        volumes += [(f"volume-{place}-{k}", layer.text) for k, layer in enumerate(viewed.layers)]
    if not entries and not messages:
        return None
    return Payload(json_for_script(entries), tuple(volumes), tuple(chosen), anchors, tuple(messages))


def json_for_script(value: object) -> Markup:
    """JSON that stays inside its script element, whatever the names in it: no ``<``, ``>`` or ``&`` is left."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _entry(candidate: Candidate, viewed: ViewedCase, place: int) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "anchor": candidate.anchor,
        "numbers": [list(pair) for pair in candidate.numbers],
        "notes": list(viewed.notes),
        "flat": viewed.flat,
        "place_mm": list(viewed.place_mm),
        "windows": [list(w) for w in viewed.windows],
        "labels": _labels(candidate.labels),
        "layers": [
            {
                "kind": layer.kind,
                "label": layer.label,
                "volume": f"volume-{place}-{k}",
                "colours": layer.colours,
                "top": layer.top,
                "unit": layer.unit,
                "frames": layer.frames,
            }
            for k, layer in enumerate(viewed.layers)
        ],
    }


def _labels(labels: LabelSet) -> list[dict[str, Any]]:
    """Name and colour of every dense label but background; ``other`` is what is not of interest, such as lung."""
    of_interest = labels.membership(structure_of_interest(labels))[1:]
    declared = {c.name: c.colour for c in labels.classes} | {g.name: g.colour for g in labels.groups}
    return [
        {
            "name": name,
            "colour": hex_colour(declared.get(name), CLASS_COLOURS[k % len(CLASS_COLOURS)]),
            "other": bool(of_interest[k] == 0) and bool((of_interest == 1).any()) and len(of_interest) > 1,
        }
        for k, name in enumerate(labels.label_names[1:])
    ]
