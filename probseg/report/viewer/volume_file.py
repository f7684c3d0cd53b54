"""Arrays as gzipped NIfTI in base64, small enough for a page: whole numbers with a slope."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantised", "encode", "quantise_map", "quantise_scan"]

_INT16 = (-32768, 32767)


@dataclass(frozen=True, eq=False)
class Quantised:
    """Whole numbers; a voxel is ``numbers * slope + offset``. ``note`` says what that costs, if anything."""

    numbers: NDArray
    slope: float = 1.0
    offset: float = 0.0
    note: str = ""


def quantise_map(values: NDArray, top: float) -> Quantised:
    """A map from 0 to ``top`` in 255 steps; what is NaN is 0."""
    scaled = np.nan_to_num(np.asarray(values, dtype=np.float64) / top) * 255
    return Quantised(np.clip(np.rint(scaled), 0, 255).astype(np.uint8), top / 255)


def quantise_scan(image: NDArray, low: float, high: float, small: bool = False) -> Quantised:
    """A scan as whole numbers.

    Args:
        image: intensities as stored.
        low: least intensity that a window shows; a small scan keeps nothing outside.
        high: greatest.
        small: in 255 steps of a byte instead of as it is, for half the size.
    """
    if small:
        slope = (high - low) / 255
        numbers = np.clip(np.rint((np.asarray(image, dtype=np.float64) - low) / slope), 0, 255).astype(np.uint8)
        return Quantised(numbers, slope, low, f"intensities in steps of {slope:.3g}")
    least, most = float(np.nanmin(image, initial=0.0)), float(np.nanmax(image, initial=0.0))
    if np.issubdtype(image.dtype, np.integer) and _INT16[0] <= least and most <= _INT16[1]:
        return Quantised(image.astype(np.int16))
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=least)
    if _INT16[0] <= least and most <= _INT16[1] and most - least > 500:  # Hounsfield units
        note = "" if (values == np.rint(values)).all() else "intensities rounded to whole numbers"
        return Quantised(np.rint(values).astype(np.int16), note=note)
    slope = max(most - least, 1e-12) / 65000
    return Quantised(np.rint((values - least) / slope - 32500).astype(np.int16), slope, least + 32500 * slope)


def encode(quantised: Quantised, affine: NDArray[np.float64]) -> str:
    """Base64 of a gzipped NIfTI-1 file; the same array gives the same text, and it names nobody.

    Args:
        quantised: ``(slices, rows, columns)`` or ``(frames, slices, rows, columns)``.
        affine: 4 x 4 from ``(column, row, slice)`` to RAS mm.
    """
    numbers = quantised.numbers
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(numbers.dtype)
    header.set_data_shape((*numbers.shape[-3:][::-1], *numbers.shape[:-3]))
    header.set_sform(affine, 1)
    header["qform_code"] = 0
    header["pixdim"][1:4] = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    header.set_xyzt_units("mm")
    header["magic"], header["vox_offset"] = b"n+1", 352
    header.set_slope_inter(quantised.slope, quantised.offset)
    voxels = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    whole = header.binaryblock + bytes(4) + voxels.tobytes()
    return base64.b64encode(gzip.compress(whole, compresslevel=6, mtime=0)).decode("ascii")
