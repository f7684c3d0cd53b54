"""Small CT series written by pydicom, one knob for each way in which real ones differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

Edit = Callable[[Dataset, int], None]


def slice_dataset(stored: np.ndarray, position: Sequence[float], syntax: str, k: int, prefix: str) -> FileDataset:
    """One CT slice of stored values; HU are the stored values minus 1024."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[prefix, str(k)])
    d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    d.Modality, d.SeriesInstanceUID = "CT", generate_uid(entropy_srcs=[prefix, "series"])
    d.StudyInstanceUID, d.FrameOfReferenceUID = (
        generate_uid(entropy_srcs=["study"]),
        generate_uid(entropy_srcs=["frame"]),
    )
    d.PatientName, d.PatientID = "Canary^Ottilie", "CANARY-4711"
    d.ImagePositionPatient, d.ImageOrientationPatient = list(position), [1, 0, 0, 0, 1, 0]
    d.PixelSpacing, d.SliceThickness, d.InstanceNumber = [0.7, 0.8], 2.5, k + 1
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = stored.shape
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, int(stored.dtype.kind == "i")
    d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, -1024, "HU"
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    d.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    d["PixelData"].VR = "OW"
    return d


@pytest.fixture
def hu() -> np.ndarray:
    """A volume of whole HU that no flip or swap leaves as it is."""
    return np.random.default_rng(7).integers(-1024, 2000, (6, 9, 11)).astype(np.int16)


@pytest.fixture(scope="session")
def write_series() -> Callable[..., list[Path]]:
    def write(
        folder: Path,
        volume: np.ndarray,
        spacing_mm: float = 2.5,
        edit: Edit | None = None,
        syntax: str = ExplicitVRLittleEndian,
        names: str = "slice{:03d}.dcm",
        origin: Sequence[float] = (-120.0, -80.5, 33.25),
        prefix: str = "a",
        compress: str | None = None,
    ) -> list[Path]:
        """HU volume to one file a slice; ``edit(dataset, k)`` changes slice k before it is written."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for k, plane in enumerate(volume):
            position = (origin[0], origin[1], origin[2] + k * spacing_mm)
            d = slice_dataset((plane.astype(np.int32) + 1024).astype(np.uint16), position, syntax, k, prefix)
            if edit is not None:
                edit(d, k)
            if compress is not None:
                d.compress(compress, generate_instance_uid=False)
            # numbered against their order in space, so that names cannot order them
            path = folder / names.format(len(volume) - 1 - k)
            pydicom.dcmwrite(path, d, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def damaged() -> Callable[[bytes, int], Iterator[bytes]]:
    """Copies of a file with one to three bytes flipped, replaced or lost; the same ones in every run."""

    def copies(raw: bytes, count: int) -> Iterator[bytes]:
        rng = np.random.default_rng(count)
        for _ in range(count):
            broken = bytearray(raw)
            for _ in range(rng.integers(1, 4)):
                at, how = int(rng.integers(len(broken))), rng.integers(3)
                if how == 0:
                    broken[at] ^= 1 << int(rng.integers(8))
                elif how == 1:
                    broken[at] = int(rng.integers(256))
                else:
                    del broken[at]
            yield bytes(broken)

    return copies


@pytest.fixture(scope="session")
def write_enhanced_to(write_series: Callable[..., list[Path]]) -> Callable[..., Path]:
    """``write(folder, hu, order)``: one file of many frames, frame k being slice ``order[k]``."""

    def write(
        folder: Path, hu: np.ndarray, order: Sequence[int], edit: Callable[[Dataset], None] | None = None
    ) -> Path:
        (path,) = write_series(folder / "single", hu[:1])
        d = pydicom.dcmread(path)
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
                     "RescaleIntercept", "RescaleType", "SliceThickness"):  # fmt: skip
            delattr(d, name)
        shared, orientation, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [0.7, 0.8], 2.5
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
        shared.PlaneOrientationSequence = DicomSequence([orientation])
        shared.PixelMeasuresSequence = DicomSequence([measures])
        shared.PixelValueTransformationSequence = DicomSequence([values])
        d.SharedFunctionalGroupsSequence = DicomSequence([shared])
        frames = []
        for k in order:
            frame, plane = Dataset(), Dataset()
            plane.ImagePositionPatient = [-120.0, -80.5, 33.25 + 2.5 * k]
            frame.PlanePositionSequence = DicomSequence([plane])
            frames.append(frame)
        d.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
        d.NumberOfFrames = len(frames)
        d.PixelData = (hu[list(order)].astype(np.int32) + 1024).astype("<u2").tobytes()
        if edit is not None:
            edit(d)
        out = folder / "enhanced.dcm"
        d.save_as(out)
        return out

    return write


@pytest.fixture
def write_enhanced(tmp_path: Path, write_enhanced_to: Callable[..., Path], hu: np.ndarray) -> Callable[..., Path]:
    """The same to the folder and of the volume of a test."""
    return partial(write_enhanced_to, tmp_path, hu)
