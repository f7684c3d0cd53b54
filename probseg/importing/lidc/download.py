"""The download of LIDC-IDRI from The Cancer Imaging Archive: one XML a scan and its DICOM series.

XML: ``LidcReadMessage`` > ``readingSession`` (one a rater) > ``unblindedReadNodule`` > ``roi`` > ``edgeMap``. Nodules
under 3 mm are a single point there; like marks of what is no nodule they have no outline and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.importing.lidc.nodules import Contour, Drawing, Scan
from probseg.importing.series import Series, find_series, read_series
from probseg.io.dicom.order import short_uid
from probseg.io.guard import file_size

__all__ = ["DownloadedScan", "find_scans", "read_scan"]

_MESSAGE = "LidcReadMessage"
_PUBLIC_ID = re.compile(r"LIDC-IDRI-[0-9]{4}")  # of the archive; another one may be a real patient's


@dataclass(frozen=True)
class DownloadedScan:
    """The XML of a scan and its series."""

    patient_id: str
    xml: Path
    series: Series


def find_scans(
    folder: Path, xml: Path | None = None, follow: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> list[DownloadedScan]:
    """Every series below ``folder`` whose readings are in an XML there or below ``xml``, by patient.

    Raises:
        ProbsegError: E_NO_CASES where no XML belongs to a series; E_DUPLICATE_CASE where two belong to one; E_PARSE.
    """
    series = {s.uid: s for s in find_series(folder, follow=follow)}
    found: dict[str, DownloadedScan] = {}
    alone = 0
    for path in sorted({*folder.rglob("*.xml"), *(xml.rglob("*.xml") if xml else ())}):
        uid = _series_uid(path)
        if uid is None:
            continue
        if uid not in series:
            alone += 1
            continue
        if uid in found:
            raise ProbsegError(
                "E_DUPLICATE_CASE", f"'{found[uid].xml}' and '{path}' are readings of one scan; keep one"
            )
        patient = series[uid].patient_id
        public = patient if _PUBLIC_ID.fullmatch(patient) else f"scan-{short_uid(uid)}"
        found[uid] = DownloadedScan(public, path, series[uid])
    if not found:
        raise ProbsegError("E_NO_CASES", f"'{folder}' holds {len(series)} CT series, but no XML of LIDC belongs to one")
    if alone:
        warn("W_NO_SERIES", f"{alone} XML files were left out, because their scans are not below '{folder}'")
    return sorted(found.values(), key=lambda s: (s.patient_id, s.series.uid))


def read_scan(found: DownloadedScan) -> tuple[Scan, NDArray, Geometry]:
    """Drawings, image ``(slices, rows, columns)`` in HU as stored, and its geometry as stored.

    Raises:
        ProbsegError: E_NO_SLICE for a contour on a slice that the series lacks, E_PARSE, and what reading it raises.
    """
    image, geometry = read_series(found.series)
    assert geometry.spacing is not None
    slices = found.series.index
    drawings: list[Drawing] = []
    sessions = _children(_root(found.xml), "readingSession")
    for rater, session in enumerate(sessions):
        for nodule in _children(session, "unblindedReadNodule"):
            contours = tuple(_contours(nodule, slices, found.xml))
            if contours:
                drawings.append(Drawing(contours, rater))
    spacing, rows_mm, columns_mm = geometry.spacing
    z_mm = spacing * np.arange(geometry.shape[0], dtype=np.float64)
    thickness = found.series.slices[0].thickness or spacing
    scan = Scan(found.patient_id, thickness, (rows_mm, columns_mm), z_mm, tuple(drawings), len(sessions))
    return scan, image, geometry


def _contours(nodule: ElementTree.Element, slices: dict[str, int], path: Path) -> Iterator[Contour]:
    rois = _children(nodule, "roi")
    if sum(len(_children(roi, "edgeMap")) for roi in rois) == 1:
        return  # under 3 mm
    for roi in rois:
        uid = _text(roi, "imageSOP_UID", path)
        if uid not in slices:
            raise ProbsegError("E_NO_SLICE", f"'{path}' has a contour on a slice that its series lacks; copy it again")
        try:
            points = np.array(
                [[int(_text(e, "yCoord", path)), int(_text(e, "xCoord", path))] for e in _children(roi, "edgeMap")]
            )
        except ValueError as error:
            raise ProbsegError("E_PARSE", f"'{path}' has a coordinate that is no whole number") from error
        if len(points):
            yield Contour(slices[uid], points, _text(roi, "inclusion", path).upper() == "TRUE")


def _series_uid(path: Path) -> str | None:
    """Which series the file reads; None for another kind of XML."""
    root = _root(path)
    if _local(root) != _MESSAGE:
        return None
    for header in _children(root, "ResponseHeader"):
        for element in header:
            if _local(element).lower() == "seriesinstanceuid":
                return (element.text or "").strip()
    raise ProbsegError("E_PARSE", f"'{path}' does not say which series it belongs to")


def _root(path: Path) -> ElementTree.Element:
    file_size(path)
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ProbsegError("E_PARSE", f"'{path}' declares entities, which no XML of LIDC does")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not XML: it ends or breaks at line {error.position[0]}") from error


def _local(element: ElementTree.Element) -> str:
    """The tag without its namespace, which differs between releases."""
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [child for child in element if _local(child) == tag]


def _text(element: ElementTree.Element, tag: str, path: Path) -> str:
    for child in _children(element, tag):
        return (child.text or "").strip()
    raise ProbsegError("E_PARSE", f"'{path}' has a {_local(element)} without {tag}")
