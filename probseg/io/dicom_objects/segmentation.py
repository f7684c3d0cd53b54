"""DICOM segmentations of a prediction: its most probable classes, binary and as a label map, and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from probseg.io.dicom_objects.maker import Maker, SeriesLabel, quietly
from probseg.io.dicom_objects.planes import check_planes, image_arguments, settled
from probseg.io.dicom_objects.source import SourceSeries

__all__ = ["MOST", "SegmentLabel", "binary", "fractional", "label_map"]

MOST = 255
"""Stored value of a probability of 1: a quantum is 1/255."""


@dataclass(frozen=True)
class SegmentLabel:
    """One segment; its number is its place in the list, from 1.

    Attributes:
        name: SegmentLabel, of which 64 characters are kept.
        category, kind: SegmentedPropertyCategory and SegmentedPropertyType.
        colour: ``#rrggbb``.
    """

    name: str
    category: Code
    kind: Code
    colour: str


def binary(
    source: SourceSeries, mode: NDArray[np.uint8], segments: Sequence[SegmentLabel], maker: Maker, label: SeriesLabel
) -> Dataset:
    """A binary segmentation (PS3.3, A.51): a frame for every slice and segment that has a voxel.

    Args:
        source: the series.
        mode: ``(slices, rows, columns)`` on the planes of the source: 0, or the number of a segment.
        segments: all that are described, whether or not a voxel is of them.
        maker: who made it.
        label: what its series is called.
    """
    return _mode(source, mode, segments, maker, label, "BINARY")


def label_map(
    source: SourceSeries, mode: NDArray[np.uint8], segments: Sequence[SegmentLabel], maker: Maker, label: SeriesLabel
) -> Dataset:
    """The same as a label map segmentation (PS3.3, A.90): each slice once, its pixels are numbers of segments."""
    return _mode(source, mode, segments, maker, label, "LABELMAP")


def _mode(
    source: SourceSeries,
    mode: NDArray[np.uint8],
    segments: Sequence[SegmentLabel],
    maker: Maker,
    label: SeriesLabel,
    kind: str,
) -> Dataset:
    check_planes(mode, source)
    with quietly():
        image = hd.seg.Segmentation(
            pixel_array=np.ascontiguousarray(mode),
            segmentation_type=kind,
            segment_descriptions=_described(segments, maker),
            **image_arguments(source, maker, label),
        )

        def pixels(segment: int | None, plane: int) -> NDArray:
            return mode[plane] if segment is None else mode[plane] == segment

        return settled(image, source, maker, label, pixels)


def fractional(
    source: SourceSeries,
    probability: Sequence[NDArray[np.float32]],
    segments: Sequence[SegmentLabel],
    maker: Maker,
    label: SeriesLabel,
) -> Dataset:
    """A fractional segmentation of probabilities, rounded to the nearest of 256 values.

    Args:
        source: the series.
        probability: of each segment ``(slices, rows, columns)``, 0 to 1.
        segments: as many.
        maker: who made it.
        label: what its series is called.
    """
    stored = np.empty((len(segments), *source.geometry.shape), dtype=np.uint8)
    for k, channel in enumerate(probability):
        check_planes(channel, source)
        stored[k] = np.rint(np.clip(channel, 0.0, 1.0) * np.float32(MOST))
    with quietly():
        # highdicom would sort every probability to see whether they are fractions. It is given where they are above 0,
        # which decides the frames, and the frames are then filled here.
        image = hd.seg.Segmentation(
            pixel_array=np.moveaxis(stored > 0, 0, -1),
            segmentation_type="FRACTIONAL",
            fractional_type="PROBABILITY",
            max_fractional_value=MOST,
            segment_descriptions=_described(segments, maker),
            **image_arguments(source, maker, label),
        )
        image.SegmentsOverlap = "UNDEFINED"
        return settled(image, source, maker, label, lambda segment, plane: stored[(segment or 1) - 1, plane])


def _described(segments: Sequence[SegmentLabel], maker: Maker) -> list[hd.seg.SegmentDescription]:
    return [
        hd.seg.SegmentDescription(
            k,
            segment.name[:64],
            segment.category,
            segment.kind,
            "AUTOMATIC",
            maker.algorithm(),
            tracking_uid=maker.uid("segment", segment.name),
            tracking_id=segment.name[:64],
            display_color=hd.color.CIELabColor.from_string(segment.colour),
        )
        for k, segment in enumerate(segments, start=1)
    ]
