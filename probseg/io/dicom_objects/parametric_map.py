"""A map of uncertainty as a DICOM parametric map (PS3.3, A.75).

One object a map: viewers make one volume of the frames of an object, and two values at one place would be one too many.
Pixels are 32-bit floats, which 3D Slicer and OHIF read, so nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from probseg.io.dicom_objects.concepts import OWN_SCHEME, own_scheme, region_of
from probseg.io.dicom_objects.maker import Maker, SeriesLabel, quietly
from probseg.io.dicom_objects.planes import check_planes, image_arguments, settled
from probseg.io.dicom_objects.source import SourceSeries

__all__ = ["NATS", "MapQuantity", "parametric_map"]

NATS = Code("{nats}", "UCUM", "nats")
"""An annotation of the unit 1: UCUM has no natural unit of information."""


@dataclass(frozen=True)
class MapQuantity:
    """What a map holds.

    Attributes:
        name: short, of at most 16 characters.
        explanation: at most 64 characters.
        greatest: value that a viewer shall show brightest.
    """

    name: str
    explanation: str
    greatest: float


def parametric_map(
    source: SourceSeries, values: NDArray[np.float32], quantity: MapQuantity, maker: Maker, label: SeriesLabel
) -> Dataset:
    """A parametric map in nats.

    Args:
        source: the series.
        values: ``(slices, rows, columns)`` float32 on the planes of the source.
        quantity: what they are.
        maker: who made it.
        label: what its series is called.
    """
    check_planes(values, source)
    values = np.ascontiguousarray(values, dtype="<f4")
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=quantity.name,
        lut_explanation=quantity.explanation,
        unit=NATS,
        value_range=(min(0.0, float(values.min())), max(quantity.greatest, float(values.max()))),
        slope=1.0,
        intercept=0.0,
        quantity_definition=Code(quantity.name, OWN_SCHEME, quantity.explanation),
    )
    with quietly():
        image = hd.pm.ParametricMap(
            pixel_array=values,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[_window(quantity.greatest)],
            coding_schemes=own_scheme(),
            **image_arguments(source, maker, label),
        )
        # optional, but 3D Slicer's reader (dcmqi 1.5) falls over a map without it
        image.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(source)]
        return settled(image, source, maker, label, lambda _, plane: values[plane])


def _window(greatest: float) -> hd.VOILUTTransformation:
    """From 0 to the greatest value; the exact function, for the usual one has no windows narrower than 1."""
    return hd.VOILUTTransformation(window_center=greatest / 2, window_width=greatest, voi_lut_function="LINEAR_EXACT")


def _anatomy(source: SourceSeries) -> Dataset:
    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(region_of(source.body_part))]
    return anatomy
