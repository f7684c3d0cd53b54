"""``probseg import label-studio``: tasks of Label Studio exported as JSON, with everyone's annotations.

Each task has ``data`` with the path of its image and ``annotations``; each annotation has ``completed_by`` and
``result``, a list of regions whose ``value`` is a brush (``rle``), a polygon (``points``), a rectangle or an ellipse,
in percent of the image, under a key that ends in ``labels``. An annotation without regions is an empty mask; a
cancelled one is left out, as are predictions and drafts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from probseg.importing.build import SourceCase
    from probseg.importing.pictures import Pictures
    from probseg.importing.regions import Overlaps, Region

DESCRIPTION = "Images with brush or polygon annotations of Label Studio (JSON export), one rater a person."
EXAMPLE = "probseg import label-studio project.json --images images --out dataset"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from probseg.importing.pictures import add_arguments

    parser.add_argument("source", type=Path, metavar="FILE", help="tasks exported as JSON (not JSON-MIN)")
    parser.add_argument("--image-key", default="image", metavar="KEY", help="key of the image in data (default: image)")
    parser.add_argument(
        "--labels", nargs="+", metavar="NAME", help="labels in the order of their values 1, 2, ... (default: as found)"
    )
    parser.add_argument(
        "--raters", nargs="+", default=[], metavar="ID=NAME", help="names instead of user ids; others are user-ID"
    )
    add_arguments(parser, "Label Studio")


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from probseg.errors import ProbsegError, warn
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.pictures import Pictures
    from probseg.importing.regions import Overlaps, label_set, load_json, named
    from probseg.records import DatasetInfo

    names = named(args.raters, "--raters")
    check_output(args.out, args.overwrite)
    tasks = load_json(args.source)
    _check(tasks, args.source)
    found = list(dict.fromkeys(label for t in tasks for a in t["annotations"] for label in _labels_of(a)))
    wanted = found if args.labels is None else args.labels
    foreign = [label for label in found if label not in wanted]
    if foreign or not wanted:
        listed = ", ".join(found) or "none"
        raise ProbsegError("E_UNKNOWN_LABEL", f"'{args.source}' has the labels {listed}; --labels must name them all")
    labels = label_set(wanted, [None] * len(wanted))
    overlaps = Overlaps({c.name: c.value for c in labels.classes})
    reader = _Tasks(args.source, args.image_key, names, overlaps)
    info = DatasetInfo(args.name, 2, labels, (args.window[0], args.window[1]))
    folder = write_dataset(args.out, info, reader.cases(tasks, Pictures(args.images, args.patient)), args.overwrite)
    overlaps.report()
    if reader.skipped:
        warn("W_ANNOTATION_SKIPPED", f"{reader.skipped} regions of '{args.source}' have no area or no label")
    print(f"{folder}: labels {', '.join(wanted)}")
    print(f"next: probseg agreement {folder} --out {folder.name}-agreement")
    return 0


def _check(tasks: Any, path: Path) -> None:
    from probseg.errors import ProbsegError

    whole = isinstance(tasks, list) and all(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks)
    if not whole or not all(isinstance(t.get("annotations"), list) for t in tasks):
        raise ProbsegError("E_SCHEMA", f"'{path}' is no list of tasks with data and annotations; export it as JSON")
    for annotation in (a for t in tasks for a in t["annotations"]):
        results = annotation.get("result") if isinstance(annotation, dict) else None
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise ProbsegError("E_SCHEMA", f"'{path}' has an annotation without a list of results")


def _names(value: Any) -> list[str]:
    """The labels of a region: the list under the key that ends in ``labels``."""
    if not isinstance(value, dict):
        return []
    lists = [v for k, v in value.items() if str(k).endswith("labels") and isinstance(v, list)]
    return [str(name) for names in lists for name in names]


def _labels_of(annotation: Mapping[str, Any]) -> list[str]:
    return [name for result in annotation["result"] for name in _names(result.get("value"))]


@dataclass
class _Tasks:
    """What every case needs, and how many regions had nothing to paint."""

    source: Path
    image_key: str
    names: Mapping[str, str]
    overlaps: Overlaps
    skipped: int = 0

    def cases(self, tasks: list[dict[str, Any]], pictures: Pictures) -> Iterator[SourceCase]:
        """One case a task that anyone finished."""
        import numpy as np

        from probseg.importing.build import SourceReading

        for task in tasks:
            finished = [a for a in task["annotations"] if not a.get("was_cancelled")]
            if not finished:
                continue
            what = f"task {task.get('id')} of '{self.source}'"
            image = self._image(task, pictures, what)
            geometry = pictures.geometry(image)
            readings = []
            for annotation in finished:
                mask = np.zeros(geometry.shape, np.uint16)
                for result in annotation["result"]:
                    self.overlaps.paint(self._regions(result, (mask.shape[0], mask.shape[1]), what), mask)
                readings.append(SourceReading(self._rater(annotation, what), mask))
            yield pictures.case(image, geometry, readings)

    def _image(self, task: Mapping[str, Any], pictures: Pictures, what: str) -> PurePosixPath:
        import re
        from urllib.parse import unquote

        from probseg.errors import ProbsegError

        text = task["data"].get(self.image_key)
        if not isinstance(text, str):
            keys = ", ".join(sorted(task["data"]))
            raise ProbsegError("E_SCHEMA", f"{what} has no image '{self.image_key}'; --image-key is one of {keys}")
        # https://host/a.png?x=1, /data/upload/3/0123abcd-a.png, /data/local-files/?d=folder/a.png, s3://bucket/a.png
        path = unquote(text.partition("?d=")[2] or text.partition("?")[0])
        try:
            return pictures.find(path)
        except ProbsegError as error:
            plain = re.sub(r"^[0-9a-f]{8}-", "", PurePosixPath(path).name)
            if error.code != "E_FILE_MISSING" or plain == PurePosixPath(path).name:
                raise
            return pictures.find(plain)

    def _rater(self, annotation: Mapping[str, Any], what: str) -> str:
        """By id: an e-mail address has no place in a dataset."""
        from probseg.errors import ProbsegError

        who = annotation.get("completed_by")
        key = who.get("id") if isinstance(who, dict) else who
        if key is None:
            raise ProbsegError("E_SCHEMA", f"{what} has an annotation without completed_by: nobody knows who drew it")
        return self.names.get(str(key), f"user-{key}")

    def _regions(self, result: Mapping[str, Any], shape: tuple[int, int], what: str) -> Iterator[Region]:
        from probseg.errors import ProbsegError
        from probseg.importing.regions import Region

        value = result.get("value")
        if not isinstance(value, dict) or not {"rle", "points", "width", "radiusX"} & value.keys():
            return  # a choice, a text or a rating
        names = _names(value)
        told = (result.get("original_height"), result.get("original_width"))
        if told != shape:
            raise ProbsegError("E_SHAPE_MISMATCH", f"{what} was drawn on {told} pixels, but its image has {shape}")
        if result.get("image_rotation") or result.get("item_index"):
            raise ProbsegError("E_SCHEMA", f"{what} turns its image or has several pages, which is not supported")
        try:
            mask = _mask(value, shape, what)
        except (KeyError, TypeError, ValueError) as error:
            raise ProbsegError("E_PARSE", f"{what} has a region that lacks numbers: see {error}") from error
        if mask is None or not names:
            self.skipped += 1
            return
        for name in names:
            yield Region(name, mask)


def _mask(value: Mapping[str, Any], shape: tuple[int, int], what: str) -> NDArray[np.bool_] | None:
    """The pixels of a region; None where it has no area, as a point or an open line."""
    import numpy as np

    from probseg.importing.regions import outline
    from probseg.importing.rle import decode_brush

    if "rle" in value:
        return decode_brush(value["rle"], shape, what)
    rows, columns = shape
    to_pixels = np.array([columns, rows]) / 100.0
    if "points" in value:
        if value.get("closed") is False:
            return None
        return outline(np.asarray(value["points"], dtype=np.float64) * to_pixels, shape, what)
    corner = np.array([float(value["x"]), float(value["y"])]) * to_pixels
    angle = np.deg2rad(float(value.get("rotation") or 0.0))
    along = np.array([np.cos(angle), np.sin(angle)])  # clockwise, as y runs down
    down = np.array([-along[1], along[0]])
    if "radiusX" in value:
        radii = np.array([float(value["radiusX"]), float(value["radiusY"])]) * to_pixels
        centres = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5 - corner
        inside = ((centres @ along) / radii[0]) ** 2 + ((centres @ down) / radii[1]) ** 2 < 1 if radii.all() else None
        return np.zeros(shape, dtype=bool) if inside is None else inside
    if "height" not in value:
        return None  # a key point, whose width is that of its mark
    width, height = np.array([float(value["width"]), float(value["height"])]) * to_pixels
    across, deep = width * along, height * down
    return outline([corner, corner + across, corner + across + deep, corner + deep], shape, what)
