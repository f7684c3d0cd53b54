"""Which studies are compared, and what is trained on each."""

from __future__ import annotations

__all__ = ["DESIGNS", "TARGETS", "study_name", "trainings"]

DESIGNS = ((60, 4), (120, 2), (240, 1), (240, 4))
"""Cases and raters of each: three ways to spend 240 readings, and four times as many."""
TARGETS = ("soft_labels", "random_rater", "stochastic_segmentation", "probabilistic_unet")


def study_name(cases: int, raters: int, seed: int) -> str:
    """The folder of a study.

    Example:
        >>> study_name(120, 2, 0)
        '120x2-seed0'
    """
    return f"{cases}x{raters}-seed{seed}"


def trainings() -> list[tuple[int, int, str]]:
    """Cases, raters and target of each training; a random one of one rater is what soft labels of one are."""
    return [(n, m, target) for n, m in DESIGNS for target in TARGETS if m > 1 or target != "random_rater"]
