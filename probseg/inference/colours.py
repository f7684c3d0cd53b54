"""One colour a class, wherever a prediction is shown."""

from __future__ import annotations

from probseg.labels import LabelSet

__all__ = ["class_colours"]

# Okabe and Ito's, for classes that bring none
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def class_colours(labels: LabelSet) -> list[str]:
    """``#rrggbb`` of every foreground class: its own, or one that people of any colour vision tell apart."""
    return [c.colour or _COLOURS[k % len(_COLOURS)] for k, c in enumerate(labels.classes[1:])]
