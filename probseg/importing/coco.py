"""``probseg import coco``: instance annotations in COCO's JSON, one file a rater or raters named in each annotation.

``images`` (id, file_name, height, width), ``categories`` (id, name) and ``annotations`` (image_id, category_id,
segmentation). A segmentation is a list of polygons ``[x1, y1, x2, y2, ...]`` measured from the corner of the first
pixel, of which a pixel is inside any; or run lengths, as numbers or as compressed text. Instances of one category on
one image become one mask of that category.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from probseg.importing.build import SourceCase
    from probseg.importing.pictures import Pictures
    from probseg.importing.regions import Overlaps, Region

DESCRIPTION = "Images with annotations in COCO's JSON: polygons and run lengths, one file a rater."
EXAMPLE = "probseg import coco anna=anna.json ben=ben.json --images images --out dataset"

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]


@dataclass(frozen=True)
class _File:
    """One JSON: the rater it stands for, if it does; category names by id; image entries and annotations."""

    path: Path
    rater: str
    categories: Mapping[int, str]
    images: Mapping[int, Mapping[str, Any]]
    annotations: Mapping[int, Sequence[Mapping[str, Any]]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from probseg.importing.pictures import add_arguments

    parser.add_argument(
        "sources",
        nargs="+",
        metavar="RATER=FILE",
        help="JSON of each rater; a FILE alone is of a rater of that name, or of those that --rater-key names",
    )
    parser.add_argument(
        "--rater-key", metavar="KEY", help="key of each annotation, or of its attributes, that says who drew it"
    )
    add_arguments(parser, "COCO")


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from probseg.errors import ProbsegError
    from probseg.importing.build import check_output, write_dataset
    from probseg.importing.pictures import Pictures
    from probseg.importing.regions import Overlaps, label_set
    from probseg.records import DatasetInfo

    check_output(args.out, args.overwrite)
    files = [_read(source) for source in args.sources]
    raters = [file.rater for file in files]
    if len(set(raters)) < len(raters) and args.rater_key is None:
        raise ProbsegError("E_DUPLICATE_RATER", f"two files are of one rater ({', '.join(raters)}); give RATER=FILE")
    names = list(dict.fromkeys(name for file in files for name in file.categories.values()))
    labels = label_set(names, [None] * len(names), _values(files, names))
    overlaps = Overlaps({c.name: c.value for c in labels.classes})
    pictures = Pictures(args.images, args.patient)
    info = DatasetInfo(args.name, 2, labels, (args.window[0], args.window[1]))
    folder = write_dataset(args.out, info, _cases(files, pictures, overlaps, args.rater_key), args.overwrite)
    overlaps.report()
    print(f"{folder}: labels {', '.join(names)}")
    print(f"next: probseg agreement {folder} --out {folder.name}-agreement")
    return 0


def _read(source: str) -> _File:
    from probseg.errors import ProbsegError
    from probseg.importing.regions import load_json

    rater, sign, name = source.partition("=")
    path = Path(name if sign else source)
    data = load_json(path)
    try:
        categories = {int(c["id"]): str(c["name"]) for c in data["categories"]}
        images = {int(i["id"]): i for i in data["images"]}
        annotations: dict[int, list[Mapping[str, Any]]] = {}
        for entry in data["annotations"]:
            if int(entry["image_id"]) not in images or int(entry["category_id"]) not in categories:
                raise ProbsegError("E_SCHEMA", f"'{path}' has an annotation of an image or category it does not list")
            annotations.setdefault(int(entry["image_id"]), []).append(entry)
        if not all(isinstance(i["file_name"], str) for i in images.values()):
            raise TypeError("file_name")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProbsegError("E_SCHEMA", f"'{path}' is no JSON of COCO instances: see {error}") from error
    return _File(path, rater if sign else path.stem, categories, images, annotations)


def _values(files: Sequence[_File], names: Sequence[str]) -> list[int] | None:
    """The ids of the categories where they may be values of a mask and all files agree; else 1, 2, ..."""
    ids: dict[str, set[int]] = {name: set() for name in names}
    for file in files:
        for key, name in file.categories.items():
            ids[name].add(key)
    values = [min(ids[name]) for name in names]
    usable = all(len(found) == 1 for found in ids.values()) and all(0 < v <= 65535 for v in values)
    return values if usable and len(set(values)) == len(values) else None


def _cases(
    files: Sequence[_File], pictures: Pictures, overlaps: Overlaps, rater_key: str | None
) -> Iterator[SourceCase]:
    """One case an image. Who has a file that lists an image has read it, with an empty mask where it has nothing."""
    import numpy as np

    from probseg.importing.build import SourceReading

    places: dict[PurePosixPath, list[tuple[_File, int]]] = {}
    for file in files:
        for key, entry in file.images.items():
            places.setdefault(pictures.find(entry["file_name"]), []).append((file, key))
    for image, listed in places.items():
        geometry = pictures.geometry(image)
        shape = (geometry.shape[0], geometry.shape[1])
        masks: dict[str, NDArray[np.uint16]] = {}
        for file, key in listed:
            _check_size(file, key, shape)
            if rater_key is None:
                masks.setdefault(file.rater, np.zeros(shape, np.uint16))
            for annotation in file.annotations.get(key, ()):
                rater = file.rater if rater_key is None else _rater(annotation, rater_key, file.path)
                mask = masks.setdefault(rater, np.zeros(shape, np.uint16))
                overlaps.paint([_region(annotation, file, shape)], mask)
        if masks:  # with --rater-key nobody may have drawn on it, and nobody is known to have read it
            yield pictures.case(image, geometry, (SourceReading(rater, mask) for rater, mask in masks.items()))


def _check_size(file: _File, key: int, shape: tuple[int, int]) -> None:
    from probseg.errors import ProbsegError

    entry = file.images[key]
    told = (entry.get("height"), entry.get("width"))
    if told != (None, None) and told != shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"'{file.path}' says that image {key} has {told} pixels, but its file has {shape}"
        )


def _rater(annotation: Mapping[str, Any], key: str, path: Path) -> str:
    from probseg.errors import ProbsegError

    attributes = annotation.get("attributes")
    value = annotation.get(key, attributes.get(key) if isinstance(attributes, dict) else None)
    if value is None or str(value) == "":
        raise ProbsegError("E_SCHEMA", f"'{path}' has an annotation without '{key}', so nobody knows who drew it")
    return str(value)


def _region(annotation: Mapping[str, Any], file: _File, shape: tuple[int, int]) -> Region:
    import numpy as np

    from probseg.errors import ProbsegError
    from probseg.importing.regions import Region, outline
    from probseg.importing.rle import decode_coco

    what = f"annotation {annotation.get('id')} of '{file.path}'"
    label = file.categories[int(annotation["category_id"])]
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return Region(label, decode_coco(segmentation, shape, what))
    if not isinstance(segmentation, list) or not segmentation:
        raise ProbsegError("E_PARSE", f"{what} has no segmentation; a box alone is no mask")
    mask = np.zeros(shape, dtype=bool)
    for polygon in segmentation:
        mask |= outline(polygon, shape, what)
    return Region(label, mask)
