"""The label set of the opacity study, and how each of its six patterns looks in Hounsfield units.

Lensink et al. 2020 (arXiv:2007.03643) number the patterns 5 to 10 by severity; the looks follow the Fleischner
Society's glossary (Hansell et al. 2008, doi:10.1148/radiol.2462070712).
"""

from __future__ import annotations

from dataclasses import dataclass

from probseg.labels import LabelClass, LabelGroup, LabelSet

__all__ = ["LABELS", "PATTERNS", "WINDOW", "Pattern"]

# Colours by Okabe and Ito, told apart by people who do not see red or green.
LABELS = LabelSet(
    (
        LabelClass(0, "background", "#000000"),
        LabelClass(1, "left_lung", "#bbbbbb", "SCT:44029006:Left lung"),
        LabelClass(2, "right_lung", "#777777", "SCT:3341006:Right lung"),
        LabelClass(5, "pure_ground_glass", "#56b4e9", "DCM:112120:Ground glass opacity"),
        LabelClass(6, "septal_thickening", "#0072b2"),
        LabelClass(7, "crazy_paving_pattern", "#009e73"),
        LabelClass(8, "organizing_pneumonia", "#f0e442"),
        LabelClass(9, "atoll_sign", "#e69f00"),
        LabelClass(10, "pure_consolidation", "#d55e00"),
    ),
    (
        LabelGroup(
            "opacity",
            (
                "pure_ground_glass",
                "septal_thickening",
                "crazy_paving_pattern",
                "organizing_pneumonia",
                "atoll_sign",
                "pure_consolidation",
            ),
            colour="#cc79a7",
        ),
        LabelGroup("ground_glass", ("pure_ground_glass",), colour="#56b4e9"),
        LabelGroup("crazy_paving", ("septal_thickening", "crazy_paving_pattern"), colour="#009e73"),
        LabelGroup("consolidation", ("organizing_pneumonia", "atoll_sign", "pure_consolidation"), colour="#d55e00"),
        LabelGroup(
            "lung",
            (
                "left_lung",
                "right_lung",
                "pure_ground_glass",
                "septal_thickening",
                "crazy_paving_pattern",
                "organizing_pneumonia",
                "atoll_sign",
                "pure_consolidation",
            ),
            colour="#999999",
        ),
    ),
)

WINDOW = (-1000.0, 50.0)
"""HU mapped to 0 and 1, as in the study."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Pattern:
    """How one opacity pattern looks; ranges are (least, greatest) and each lesion draws its own within them.

    The ranges of neighbours in severity touch or overlap, which is why a reader may call one the other.

    Attributes:
        name: of the leaf class in `LABELS`.
        haze_hu: density of the ground glass.
        septa: strength of the lines round the secondary lobules, 0 none to 1 full.
        mesh: strength of the fine lines within the lobules.
        patches: part of the lesion that is dense, 0 none to 1 all.
        ring_mm: width of a dense rim; (0, 0) for none.
        dense_hu: density of patches and rim.
        edge_mm: width over which the lesion fades into the lung.
        radius_mm: half the size.
        depth_mm: how far from the pleura such lesions like to lie (decay length).
        ragged: how uneven the outline is, in parts of the radius.
    """

    name: str
    haze_hu: Range
    radius_mm: Range
    depth_mm: float
    septa: Range = (0.0, 0.0)
    mesh: Range = (0.0, 0.0)
    patches: Range = (0.0, 0.0)
    ring_mm: Range = (0.0, 0.0)
    dense_hu: Range = (-60.0, 20.0)
    edge_mm: float = 4.0
    ragged: float = 0.28

    @property
    def label(self) -> int:
        """The dense label."""
        return LABELS.names.index(self.name)


PATTERNS = (
    Pattern("pure_ground_glass", (-650.0, -500.0), (14.0, 38.0), 25.0, septa=(0.0, 0.15), edge_mm=6.0),
    Pattern("septal_thickening", (-650.0, -500.0), (18.0, 42.0), 25.0, septa=(0.5, 0.95), mesh=(0.0, 0.15)),
    Pattern("crazy_paving_pattern", (-620.0, -470.0), (18.0, 46.0), 30.0, septa=(0.45, 0.9), mesh=(0.55, 0.95)),
    Pattern(
        "organizing_pneumonia",
        (-560.0, -400.0),
        (16.0, 36.0),
        7.0,
        mesh=(0.0, 0.15),
        patches=(0.45, 0.7),
        dense_hu=(-150.0, 0.0),
        edge_mm=3.0,
        ragged=0.34,
    ),
    Pattern("atoll_sign", (-660.0, -520.0), (17.0, 30.0), 20.0, ring_mm=(5.0, 8.0), edge_mm=2.0, ragged=0.12),
    Pattern(
        "pure_consolidation", (-450.0, -300.0), (14.0, 36.0), 6.0, patches=(1.0, 1.0), dense_hu=(0.0, 50.0), edge_mm=2.0
    ),
)
