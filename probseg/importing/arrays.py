"""An array of a dataset to the smallest file that holds it exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.io import nifti
from probseg.io.atomic import replacing

__all__ = ["write_array"]


def write_array(folder: Path, name: str, array: NDArray, geometry: Geometry, stored: Geometry | None = None) -> str:
    """Write ``array`` below ``folder``; returns ``name`` with its suffix.

    Volumes become NIfTI, in the orientation of ``stored`` where given. A single image becomes a NIfTI of one slice
    where pixel spacing and slice thickness are known, so that both survive; else PNG (grey, 8 or 16 bit), or NPZ
    (array ``image``) for every other type.
    """
    if geometry.dimensions == 3:
        nifti.write(folder / f"{name}.nii.gz", array, geometry, stored)
        return f"{name}.nii.gz"
    if geometry.spacing is not None and geometry.slice_thickness_mm is not None and array.ndim == 2:
        volume = replace(geometry, shape=(1, *geometry.shape), spacing=(geometry.slice_thickness_mm, *geometry.spacing))
        nifti.write(folder / f"{name}.nii.gz", array[None], volume)
        return f"{name}.nii.gz"
    if array.ndim == 2 and array.dtype in (np.uint8, np.uint16):
        from PIL import Image

        with replacing(folder / f"{name}.png") as path:
            Image.fromarray(array).save(path)
        return f"{name}.png"
    with replacing(folder / f"{name}.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, image=array)
    return f"{name}.npz"
