"""DICOM objects that say what was found in a CT series: segmentations, parametric maps and a structured report."""

from __future__ import annotations

from probseg.io.dicom_objects.concepts import parse_code
from probseg.io.dicom_objects.maker import Maker, SeriesLabel
from probseg.io.dicom_objects.parametric_map import MapQuantity, parametric_map
from probseg.io.dicom_objects.planes import encoded
from probseg.io.dicom_objects.segmentation import SegmentLabel, binary, fractional, label_map
from probseg.io.dicom_objects.source import SourceSeries, read_source
from probseg.io.dicom_objects.structured_report import MeasuredVolume, VolumeInterval, volume_report

__all__ = [
    "Maker",
    "MapQuantity",
    "MeasuredVolume",
    "SegmentLabel",
    "SeriesLabel",
    "SourceSeries",
    "VolumeInterval",
    "binary",
    "encoded",
    "fractional",
    "label_map",
    "parametric_map",
    "parse_code",
    "read_source",
    "volume_report",
]
