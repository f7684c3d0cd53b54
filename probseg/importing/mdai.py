"""``probseg import mdai``: the annotations of an MD.ai project on the CT series they were drawn on.

The export holds ``labelGroups`` with ``labels`` (id, name, color, annotationMode, scope) and ``datasets`` with
``annotations`` (labelId, createdById, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, height, width, data). By
annotationMode ``data`` is

* ``polygon``, ``freeform``: ``vertices``, pairs x, y from the corner of the first pixel;
* ``bbox``: ``x``, ``y``, ``width``, ``height``, likewise;
* ``mask``: ``foreground`` and ``background``, lists of polygons through the centres of pixels. Foreground polygons are
  filled, then background ones are cleared, each with the pixels of its own outline, which is how MD.ai's Python client
  (`convert_mask_annotation_to_array`) reads them.

Lines, points and labels of a whole image, series or exam have no area. They say that their rater looked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from probseg.importing.build import SourceCase
    from probseg.importing.regions import Overlaps, Region
    from probseg.importing.series import Series

DESCRIPTION = "Annotations of an MD.ai project (JSON export) on DICOM series, one rater a person who drew."
EXAMPLE = "probseg import mdai annotations.json --images dicom --out opacities"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

_AREAS = ("polygon", "freeform", "bbox", "mask")


@dataclass(frozen=True)
class _Label:
    name: str
    mode: str | None
    colour: str | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="FILE", help="annotations as MD.ai exports them, JSON")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="tree of the DICOM series")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="dataset folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier dataset in that folder")
    parser.add_argument("--name", default="MD.ai", help="name of the dataset (default: MD.ai)")
    parser.add_argument("--labels", nargs="+", metavar="NAME", help="only these labels, in order (default: all areas)")
    parser.add_argument(
        "--raters", nargs="+", default=[], metavar="ID=NAME", help="names instead of user ids; others keep their id"
    )
    parser.add_argument(
        "--rated",
        choices=("all", "marked"),
        default="all",
        help="what a rater of a series looked at: all of it, or only slices with an annotation of his (default: all)",
    )
    parser.add_argument(
        "--patient-ids",
        action="store_true",
        help="name cases and patients by PatientID, for data that were de-identified (default: numbers)",
    )
    parser.add_argument("--window", type=float, nargs=2, default=(-1000.0, 400.0), metavar=("LOW", "HIGH"), help="HU")


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from probseg.errors import ProbsegError, warn
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.regions import Overlaps, label_set, load_json, named
    from probseg.importing.series import find_series
    from probseg.records import DatasetInfo

    names = named(args.raters, "--raters")
    check_output(args.out, args.overwrite)
    labels, annotations = _parse(load_json(args.source), args.source)
    chosen = _chosen(labels, args.labels)
    order = list(dict.fromkeys(label.name for label in chosen.values()))
    colours = {label.name: label.colour for label in chosen.values()}
    label_values = label_set(order, [colours[name] for name in order])
    skipped = [a for a in annotations if a["labelId"] in labels and labels[a["labelId"]].mode not in (*_AREAS, None)]
    wanted = frozenset(str(a["SOPInstanceUID"]) for a in annotations if a.get("SOPInstanceUID"))
    whole = frozenset(str(a["SeriesInstanceUID"]) for a in annotations if a.get("SeriesInstanceUID"))
    series = find_series(args.images, wanted | whole)
    if not series:
        raise ProbsegError("E_NO_CASES", f"no series below '{args.images}' has anything that '{args.source}' annotates")
    overlaps = Overlaps({c.name: c.value for c in label_values.classes})
    info = DatasetInfo(args.name, 3, label_values, (args.window[0], args.window[1]))
    context = _Import(args.source, chosen, names, overlaps, args.rated == "marked", args.patient_ids)
    folder = write_dataset(args.out, info, context.cases(series, annotations), args.overwrite)
    overlaps.report()
    if skipped:
        warn("W_ANNOTATION_SKIPPED", f"{len(skipped)} lines or points of '{args.source}' have no area")
    lost = len(wanted - {s.sop_instance for entry in series for s in entry.slices})
    if lost:
        warn("W_NO_SERIES", f"{lost} annotated slices are not below '{args.images}'; their annotations were left out")
    print(f"{folder}: {len(series)} series, {len(order)} labels: {', '.join(order)}")
    print(f"next: probseg agreement {folder} --out {folder.name}-agreement")
    return 0


def _parse(data: Any, path: Path) -> tuple[dict[str, _Label], list[dict[str, Any]]]:
    """Labels by id, and the annotations of every dataset."""
    from probseg.errors import ProbsegError

    try:
        labels = {
            str(entry["id"]): _Label(str(entry["name"]), entry.get("annotationMode"), _colour(entry.get("color")))
            for group in data["labelGroups"]
            for entry in group["labels"]
        }
        annotations = [a for part in data["datasets"] for a in part["annotations"]]
        complete = all({"labelId", "createdById"} <= a.keys() for a in annotations)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is no export of MD.ai: it lacks {error}") from error
    if not complete:
        raise ProbsegError("E_SCHEMA", f"'{path}' has an annotation without labelId or createdById")
    return labels, annotations


def _colour(text: Any) -> str | None:
    import re

    return text.lower() if isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) else None


def _chosen(labels: Mapping[str, _Label], wanted: list[str] | None) -> dict[str, _Label]:
    """The labels that become classes, by id and in the order of the classes."""
    from probseg.errors import ProbsegError

    areas = {key: label for key, label in labels.items() if label.mode in _AREAS}
    if wanted is None:
        return areas
    missing = [name for name in wanted if name not in {a.name for a in areas.values()}]
    if missing:
        known = ", ".join(dict.fromkeys(a.name for a in areas.values()))
        raise ProbsegError("E_UNKNOWN_LABEL", f"no label with an area is called '{missing[0]}'; there are {known}")
    return {key: label for name in wanted for key, label in areas.items() if label.name == name}


@dataclass(frozen=True)
class _Import:
    """What every case needs."""

    source: Path
    labels: Mapping[str, _Label]
    names: Mapping[str, str]
    overlaps: Overlaps
    marked_only: bool
    keep_ids: bool

    def cases(self, series: list[Series], annotations: list[dict[str, Any]]) -> Iterator[SourceCase]:
        """One case a series that anyone annotated."""
        from probseg.importing.series import names

        for entry, (name, patient) in zip(series, names(series, self.keep_ids), strict=True):
            slices = {s.sop_instance for s in entry.slices}
            own = [a for a in annotations if _belongs(a, entry, slices)]
            yield self._case(entry, name, patient, own)

    def _case(self, series: Series, name: str, patient: str, annotations: list[dict[str, Any]]) -> SourceCase:
        import numpy as np

        from probseg.case import reorient, to_canonical
        from probseg.errors import ProbsegError
        from probseg.importing.build import SourceCase, SourceReading
        from probseg.io.dicom.order import short_uid

        shape = series.geometry.shape
        if len(series.files) != len(series.slices):
            raise ProbsegError(
                "E_NDIM", f"the series in '{series.folder}' is one file of many frames; export it as one file a slice"
            )
        canonical = to_canonical(np.broadcast_to(np.zeros((), np.uint8), shape), series.geometry)[1]
        readings = []
        for rater in dict.fromkeys(str(a["createdById"]) for a in annotations):
            mask, looked = np.zeros(shape, np.uint16), np.zeros((shape[0], 1, 1), bool)
            for annotation in (a for a in annotations if str(a["createdById"]) == rater):
                place = series.index.get(str(annotation.get("SOPInstanceUID")))
                if place is None:
                    continue
                looked[place] = True
                what = f"an annotation of case '{name}' in '{self.source}'"
                self.overlaps.paint(self._regions(annotation, (shape[1], shape[2]), what), mask[place])
            rated: str | NDArray[np.bool_] = "all"
            if self.marked_only:
                rated = reorient(np.broadcast_to(looked, shape), series.geometry, canonical.direction)[0]
            turned = reorient(mask, series.geometry, canonical.direction)[0]
            readings.append(SourceReading(self.names.get(rater, rater), turned, rated))
        note = f"series {short_uid(series.uid)}"
        return SourceCase(name, patient, "", None, series.files, canonical, tuple(readings), note=note)

    def _regions(self, annotation: Mapping[str, Any], shape: tuple[int, int], what: str) -> Iterator[Region]:
        from probseg.errors import ProbsegError
        from probseg.importing.regions import Region, box, outline

        label = self.labels.get(str(annotation["labelId"]))
        if label is None:
            return
        given = (annotation.get("height"), annotation.get("width"))
        if given != (None, None) and given != shape:
            raise ProbsegError("E_SHAPE_MISMATCH", f"{what} was drawn on {given} pixels, but its slice has {shape}")
        data: Any = annotation.get("data")
        try:
            if label.mode == "mask":
                mask = _mask(data, shape, what)
            elif label.mode == "bbox":
                mask = box(data["x"], data["y"], data["width"], data["height"], shape, what)
            else:
                mask = outline(data["vertices"], shape, what)
        except (KeyError, TypeError) as error:
            raise ProbsegError("E_PARSE", f"{what} has no data of a {label.mode}") from error
        yield Region(label.name, mask)


def _mask(data: Mapping[str, Any], shape: tuple[int, int], what: str) -> NDArray[np.bool_]:
    """Foreground polygons less background polygons, each with the pixels of its outline."""
    import numpy as np

    from probseg.errors import ProbsegError
    from probseg.io.polygons import boundary, fill

    mask = np.zeros(shape, dtype=bool)
    for part, value in (("foreground", True), ("background", False)):
        for polygon in data.get(part) or ():
            try:
                points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
            except (TypeError, ValueError) as error:
                raise ProbsegError("E_PARSE", f"{what} has a mask whose {part} is no list of polygons") from error
            pixels = np.trunc(points)[:, ::-1]
            mask[fill([pixels], shape) | boundary(pixels, shape)] = value
    return mask


def _belongs(annotation: Mapping[str, Any], series: Series, slices: set[str]) -> bool:
    """Of a slice of the series, or of the series or exam as a whole."""
    if annotation.get("SOPInstanceUID"):
        return str(annotation["SOPInstanceUID"]) in slices
    if annotation.get("SeriesInstanceUID"):
        return str(annotation["SeriesInstanceUID"]) == series.uid
    return str(annotation.get("StudyInstanceUID")) == series.study
