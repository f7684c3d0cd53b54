"""Reading: an uncompressed CT series, and slices of the prepared store, each against those who do the same."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from prepared_slices import store_slice
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_rescale
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from timing import Comparison, compare, main

from probseg.io.dicom import read_series

_SHAPE = (100, 512, 512)


def _write_series(folder: Path) -> None:
    """A series under the header of a real scanner, with its 262 elements, private ones among them."""
    template = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    series = generate_uid(entropy_srcs=["probseg benchmark"])
    rng = np.random.default_rng(0)
    for k in range(_SHAPE[0]):
        d = template
        d.SOPInstanceUID = generate_uid(entropy_srcs=["probseg benchmark", str(k)])
        d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID
        d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = CTImageStorage
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SeriesInstanceUID, d.InstanceNumber = series, k + 1
        d.ImageOrientationPatient, d.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-180.0, -180.0, 1.25 * k]
        d.PixelSpacing, d.SliceThickness = [0.703125, 0.703125], 1.25
        d.Rows, d.Columns = _SHAPE[1:]
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, -1024, "HU"
        for name in ("PixelPaddingValue", "SmallestImagePixelValue", "LargestImagePixelValue"):
            if name in d:
                del d[name]
        d.PixelData = rng.integers(0, 4096, _SHAPE[1:], dtype=np.uint16).tobytes()
        d["PixelData"].VR = "OW"
        d.save_as(folder / f"{_SHAPE[0] - k:04d}.dcm", enforce_file_format=True)


def _by_simpleitk(folder: Path) -> NDArray:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def _by_pydicom(folder: Path) -> NDArray:
    slices = sorted((pydicom.dcmread(f) for f in folder.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    return np.stack([apply_rescale(d.pixel_array, d) for d in slices])


def _peak_over_volume(read: Callable[[], NDArray]) -> float:
    tracemalloc.start()
    volume = read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / volume.nbytes


def dicom_series() -> Iterator[Comparison]:
    """100 uncompressed slices of 512 x 512 to HU, from files in the system's cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_series(folder)

        def ours() -> NDArray:
            return read_series(folder)[0]

        memory = {"peak_memory_over_volume": _peak_over_volume(ours)}
        against_itk = compare(
            "dicom_series", ours, lambda: _by_simpleitk(folder), "SimpleITK ImageSeriesReader", np.array_equal
        )
        yield dataclasses.replace(against_itk, further=memory)
        yield compare(
            "dicom_series_pydicom",
            ours,
            lambda: _by_pydicom(folder),
            "pydicom dcmread, pixel_array, apply_rescale",
            np.array_equal,
        )


if __name__ == "__main__":
    sys.exit(main((dicom_series, store_slice), __doc__ or ""))
