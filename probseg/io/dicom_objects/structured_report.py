"""Volumes with their intervals as a structured report of template TID 1500, Measurement Report (PS3.16).

A class is a volumetric region of interest (TID 1411) that refers to its segment; a group is a measurement group without
one (TID 1501), for no segment is its own. The volume is the mean over draws. Its interval stands there twice: as the
distances to its ends, for which DICOM has codes, and as two volumes with a plain name, which viewers list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from probseg.io.dicom_objects.concepts import OWN_SCHEME, own_scheme
from probseg.io.dicom_objects.maker import Maker, SeriesLabel, quietly
from probseg.io.dicom_objects.planes import without_clock
from probseg.io.dicom_objects.source import SourceSeries

__all__ = ["MILLILITRES", "MeasuredVolume", "VolumeInterval", "volume_report"]

MILLILITRES = Code("mL", "UCUM", "milliliter")
_DECIMALS = 6


@dataclass(frozen=True)
class VolumeInterval:
    """Between which volumes a rater's is expected; NaN or infinite ends are left out.

    Attributes:
        name: such as ``95 % interval``.
        key: part of its codes, of at most 10 characters.
        low_ml, high_ml: both ends.
    """

    name: str
    key: str
    low_ml: float
    high_ml: float


@dataclass(frozen=True)
class MeasuredVolume:
    """The volume of one class or group; NaN for what is not known.

    Attributes:
        name: of the class or group.
        kind: coded concept of what it is.
        segment: number of its segment; None for a group.
        mean_ml: mean over draws.
        mode_ml: volume of the voxels whose most probable class it is.
        intervals: the first is that of the uncertainty.
    """

    name: str
    kind: Code
    segment: int | None
    mean_ml: float
    mode_ml: float
    intervals: Sequence[VolumeInterval]


def volume_report(
    source: SourceSeries, segmentation: Dataset, volumes: Sequence[MeasuredVolume], maker: Maker, label: SeriesLabel
) -> Dataset:
    """A Comprehensive 3D SR of volumes.

    Args:
        source: the series.
        segmentation: whose segments are measured.
        volumes: one a class and group; those whose mean is not known are left out.
        maker: who made it.
        label: what its series is called.
    """
    groups = [_group(source, segmentation, v, maker) for v in volumes if not math.isnan(v.mean_ml)]
    device = sr.DeviceObserverIdentifyingAttributes(
        maker.uid("device"), "probseg", "probseg", maker.model, maker.checkpoint_sha256[:64]
    )
    context = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
    content = sr.MeasurementReport(context, codes.LN.CTUnspecifiedBodyRegion, groups)
    date, time = source.written
    with quietly():
        report = sr.Comprehensive3DSR(
            evidence=[segmentation, *source.evidence()],
            content=content[0],
            is_complete=True,
            content_date=date,
            content_time=time,
            specific_character_set="ISO_IR 192",
            coding_schemes=own_scheme(),
            **maker.equipment(),
            **maker.series(label, source.number),
        )
        without_clock(report)
        return report


def _group(
    source: SourceSeries, segmentation: Dataset, volume: MeasuredVolume, maker: Maker
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations:
    tracking = sr.TrackingIdentifier(maker.uid("segment", volume.name), volume.name[:64])
    measurements = _measurements(volume)
    algorithm = sr.AlgorithmIdentification(f"probseg {maker.model}", maker.algorithm_version)
    if volume.segment is None:
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking, finding_type=volume.kind, algorithm_id=algorithm, measurements=measurements
        )
    segment = sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        volume.segment,
        source_series=sr.SourceSeriesForSegmentation(source.header.SeriesInstanceUID),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking,
        referenced_segment=segment,
        finding_type=volume.kind,
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _measurements(volume: MeasuredVolume) -> list[sr.Measurement]:
    found = [
        sr.Measurement(
            codes.SCT.Volume,
            _rounded(volume.mean_ml),
            MILLILITRES,
            derivation=codes.SCT.Mean,
            method=Code("mean_of_draws", OWN_SCHEME, "Sum of probabilities, mean over draws"),
            properties=_uncertainty(volume),
        )
    ]
    for interval in volume.intervals:
        for end, value in (("Lower", interval.low_ml), ("Upper", interval.high_ml)):
            if math.isfinite(value):
                concept = Code(f"{end.lower()}_{interval.key}", OWN_SCHEME, f"{end} end of the {interval.name}")
                found.append(sr.Measurement(concept, _rounded(value), MILLILITRES))
    if not math.isnan(volume.mode_ml):
        method = Code("mode", OWN_SCHEME, "Voxels whose most probable class it is")
        found.append(sr.Measurement(codes.SCT.Volume, _rounded(volume.mode_ml), MILLILITRES, method=method))
    return found


def _uncertainty(volume: MeasuredVolume) -> sr.MeasurementProperties | None:
    """How far the ends of the first interval lie from the mean; none where an end is not known or is beyond it."""
    if not volume.intervals:
        return None
    low, high = volume.intervals[0].low_ml, volume.intervals[0].high_ml
    if not (math.isfinite(low) and math.isfinite(high)) or not low <= volume.mean_ml <= high:
        return None
    found = sr.MeasurementProperties(
        upper_measurement_uncertainty=_rounded(high - volume.mean_ml),
        lower_measurement_uncertainty=_rounded(volume.mean_ml - low),
    )
    for item in found:  # highdicom gives them no unit, but they are volumes
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0] = sr.CodedConcept.from_code(MILLILITRES)
    return found


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS) + 0.0
