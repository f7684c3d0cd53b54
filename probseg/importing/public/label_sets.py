"""Label sets of public opacity data: one name for one thing, so that datasets can be joined in a training."""

from __future__ import annotations

from probseg.labels import LabelClass, LabelGroup, LabelSet

__all__ = ["opacity_labels"]


def opacity_labels(
    values: tuple[int, int] = (1, 2), opacity: int = 20, others: tuple[LabelClass, ...] = ()
) -> LabelSet:
    """Background, further classes, ground glass, consolidation; their group ``opacity`` and ``no_opacity``, the rest.

    The groups have values, so that data that draw opacity alone can be joined to these: what is background there may be
    any of the rest here.

    Args:
        values: of ground glass and consolidation in files.
        opacity: of their group, for masks that do not tell the two apart.
        others: classes beside them; without any there is no group of the rest, which is background.

    Example:
        >>> opacity_labels((11, 12), opacity=1).label_names
        ('background', 'ground_glass', 'consolidation', 'opacity')
    """
    classes = (  # colours as in the synthetic CT
        LabelClass(values[0], "ground_glass", "#56b4e9"),
        LabelClass(values[1], "consolidation", "#d55e00"),
        *others,
    )
    ordered = sorted(classes, key=lambda c: c.value)
    group = LabelGroup("opacity", ("ground_glass", "consolidation"), opacity, "#cc79a7")
    rest = LabelGroup("no_opacity", ("background", *(c.name for c in others)), 21)
    return LabelSet((LabelClass(0, "background"), *ordered), (group, rest) if others else (group,))
