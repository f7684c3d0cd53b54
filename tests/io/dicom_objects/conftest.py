"""Series as hospitals store them, and one object of each kind made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from probseg.case import Geometry, reorient
from probseg.io import read_image
from probseg.io.dicom_objects import (
    Maker,
    MapQuantity,
    MeasuredVolume,
    SegmentLabel,
    SeriesLabel,
    SourceSeries,
    VolumeInterval,
    binary,
    fractional,
    label_map,
    parametric_map,
    read_source,
    volume_report,
)
from probseg.io.dicom_objects.concepts import ABNORMAL, ANATOMICAL, LESION, LUNG
from probseg.io.dicom_objects.planes import encoded

MAKER = Maker("1.2.3", "ProbabilisticUNet", "ab" * 32, "identity", (("draws", "16"),))
SEGMENTS = (
    SegmentLabel("lung", ANATOMICAL, LUNG, "#bbbbbb"),
    SegmentLabel("glass", ABNORMAL, LESION, "#56b4e9"),
    SegmentLabel("absent", ABNORMAL, LESION, "#d55e00"),
)
SHAPE = (6, 9, 11)


def turned(degrees: float) -> list[float]:
    """Rows and columns of slices that are turned about the axis of the patient, and a little out of it."""
    a, b = np.radians(degrees), np.radians(7)
    about = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    axes = about @ tilt
    return [float(f"{v:.9f}") for v in (*axes[:, 0], *axes[:, 1])]


def oriented(cosines: list[float]) -> Callable[[Dataset, int], None]:
    """Slices along their normal, 2.5 mm apart."""
    normal = np.cross(cosines[:3], cosines[3:])

    def edit(d: Dataset, k: int) -> None:
        d.ImageOrientationPatient = cosines
        d.ImagePositionPatient = [f"{v:.9f}"[:16] for v in np.array([-120.0, -80.5, 33.25]) + 2.5 * k * normal]

    return edit


def bare(d: Dataset, k: int) -> None:
    """No more than a reader of images needs."""
    for name in ("PatientName", "PatientID", "SliceThickness", "InstanceNumber"):
        delattr(d, name)


def careless(d: Dataset, k: int) -> None:
    """Values that are not what their kind demands, as old exports have them."""
    d.SpecificCharacterSet = "ISO_IR 100"
    d.PatientName, d.PatientID = "Cänary^Ottilie\x1b[31m", "=CANARY-4711"
    for name, value in (
        ("PatientBirthDate", "1.1.1970"),
        ("PatientSex", "female"),
        ("PatientAge", "fifty"),
        ("StudyDate", "yesterday"),
        ("StudyTime", "noon"),
        ("BodyPartExamined", "thorax (lung), both sides"),
        ("StudyDescription", "a line\nand more"),
    ):
        d.add(_unchecked(name, value))
    d.SpacingBetweenSlices, d.SliceThickness = 9, 5


def _unchecked(keyword: str, value: str) -> Any:
    from pydicom import config
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import DataElement

    tag = tag_for_keyword(keyword)
    assert tag is not None
    return DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)


SERIES: dict[str, Callable[[Dataset, int], None] | None] = {
    "plain": None,
    "chest": lambda d, k: setattr(d, "BodyPartExamined", "CHEST"),
    "oblique": oriented(turned(20)),
    "rows bottom-up": oriented([1, 0, 0, 0, -1, 0]),
    "feet first": oriented([-1, 0, 0, 0, 1, 0]),
    "sagittal": oriented([0, 1, 0, 0, 0, -1]),
    "coronal": oriented([1, 0, 0, 0, 0, -1]),
    "bare": bare,
    "careless": careless,
}
"""What each does to the slices of ``write_series``, which are anisotropic and lie in files against their order."""


@dataclass(frozen=True)
class Objects:
    """A series, what was found on its canonical grid, and the files of the objects."""

    path: Path
    source: SourceSeries
    geometry: Geometry
    mode: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray
    files: dict[str, Path]


def make(folder: Path, path: Path) -> Objects:
    """Every kind of object; the mode has a slice without a voxel and a segment without one."""
    _, geometry, stored = read_image(path)
    rng = np.random.default_rng(11)
    mode = rng.integers(0, 3, geometry.shape).astype(np.uint8)
    mode[2] = 0
    probability = rng.random((3, *geometry.shape), dtype=np.float32)
    probability[2, 1:4] = 0.0
    entropy = rng.random(geometry.shape, dtype=np.float32)
    source = read_source(path)

    def back(array: np.ndarray) -> np.ndarray:
        planes, grid = reorient(array, geometry, stored.direction)
        assert grid.close_to(stored)
        return planes

    chosen = binary(source, back(mode), SEGMENTS, MAKER, SeriesLabel("mode", 1, "mode", "MODE"))
    interval, endless = (VolumeInterval("95 % interval", "95", *ends) for ends in ((4000.0, 4500.5), (3.0, math.inf)))
    volumes = (
        MeasuredVolume("lung", LUNG, 1, 4321.125, 4300.0, (interval,)),
        MeasuredVolume("glass", LESION, 2, 12.5, 11.0, ()),
        MeasuredVolume("absent", LESION, 3, math.nan, 0.0, ()),
        MeasuredVolume("opacity", LESION, None, 12.5, 11.0, (endless,)),
    )
    data = {
        "segmentation": chosen,
        "label_map": label_map(source, back(mode), SEGMENTS, MAKER, SeriesLabel("map", 2, "label map", "LABELS")),
        "probability": fractional(
            source,
            np.stack([back(p) for p in probability]),
            SEGMENTS,
            MAKER,
            SeriesLabel("probability", 3, "probability", "PROBABILITY"),
        ),
        "uncertainty": parametric_map(
            source,
            back(entropy),
            MapQuantity("entropy", "Entropy", math.log(2)),
            MAKER,
            SeriesLabel("entropy", 4, "entropy", "ENTROPY"),
        ),
        "report": volume_report(source, chosen, volumes, MAKER, SeriesLabel("report", 5, "report", "REPORT")),
    }
    files = {}
    for name, item in data.items():
        files[name] = folder / f"{name}.dcm"
        files[name].write_bytes(encoded(item))
    return Objects(path, source, geometry, mode, probability, entropy, files)


HU = np.random.default_rng(7).integers(-1024, 2000, SHAPE).astype(np.int16)


@pytest.fixture(scope="session", params=[*SERIES, "enhanced"])
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write_series: Callable[..., list[Path]],
    write_enhanced_to: Callable[..., Path],
) -> Objects:
    """The objects of every kind of series in turn."""
    folder = tmp_path_factory.mktemp("made")
    if request.param == "enhanced":
        return make(folder, write_enhanced_to(folder, HU, (3, 0, 5, 1, 4, 2)))
    write_series(folder / "series", HU, edit=SERIES[request.param])
    return make(folder, folder / "series")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, write_series: Callable[..., list[Path]]) -> Objects:
    """The objects of an axial series."""
    folder = tmp_path_factory.mktemp("plain")
    write_series(folder / "series", HU)
    return make(folder, folder / "series")
