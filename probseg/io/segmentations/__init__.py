"""Files that name what they segment: Slicer's ``.seg.nrrd``, DICOM-SEG and RTSTRUCT, all as a list of segments."""

from __future__ import annotations

from pathlib import Path

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.guard import file_size, is_nrrd_name
from probseg.io.segmentations.segment import Segment, label_map

__all__ = ["Segment", "label_map", "read_segments"]


def read_segments(path: str | Path, geometry: Geometry) -> list[Segment]:
    """Read the segments of a file onto the grid of its image.

    Args:
        path: a name that ends in .nrrd, in any letter case, is NRRD; every other file is DICOM-SEG or RTSTRUCT.
        geometry: of the image, a volume in canonical axes as `probseg.io.read_image` returns it.

    Returns:
        The segments in the order of the file, each with a mask of ``geometry.shape``. One without a voxel is there
        with an empty mask: its rater found nothing. Segments may overlap; `label_map` refuses that.

    Raises:
        ProbsegError: E_NDIM for an image that is no volume; E_SCHEMA where two segments have one name;
            E_AFFINE_MISMATCH where the file does not lie on the grid; the codes of `probseg.io.guard`,
            `probseg.io.nrrd`, `seg_nrrd`, `dicom_seg` and `rtstruct`.
    """
    path = Path(path)
    file_size(path)
    if geometry.dimensions != 3:
        raise ProbsegError("E_NDIM", f"'{path}' segments a volume, but its image has 2 dimensions")
    if is_nrrd_name(path):
        from probseg.io.segmentations.seg_nrrd import read as read_seg_nrrd

        segments = read_seg_nrrd(path, geometry)
    else:
        from probseg.io.segmentations.dicom_objects import read as read_dicom

        segments = read_dicom(path, geometry)
    names = [s.name for s in segments]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbsegError("E_SCHEMA", f"'{path}' has several segments named '{twice[0]}'; give each its own name")
    return segments
