"""Random slices from the prepared store, against MONAI's PersistentDataset and NumPy's memory maps."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from timing import Comparison, compare

from probseg.case import Geometry
from probseg.importing.build import SourceCase, SourceReading, write_dataset
from probseg.labels import LabelClass, LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo
from probseg.store import Store, prepare

_SHAPE = (48, 512, 512)
_RATERS = ("A", "B", "C", "D")
_CLASSES = 9
_READS = 192
Pair = tuple[NDArray, NDArray]


def _info() -> DatasetInfo:
    classes = [LabelClass(k, f"class {k}") for k in range(1, _CLASSES)]
    return DatasetInfo("slices", 3, LabelSet((LabelClass(0, "background"), *classes)), (-1000.0, 400.0))


def _case(seed: int) -> SourceCase:
    """Noise, and opacities of eight classes over a quarter of two lungs, whose outlines each rater draws otherwise."""
    rng = np.random.default_rng(seed)
    coarse = (_SHAPE[0] // 4, _SHAPE[1] // 8, _SHAPE[2] // 8)

    def grown(x: NDArray) -> NDArray:
        return x.repeat(4, 0).repeat(8, 1).repeat(8, 2)

    field = gaussian_filter(rng.normal(size=coarse), 2.5)
    ranks = gaussian_filter(rng.random(coarse), 3).argsort(axis=None).argsort().reshape(coarse)
    kinds = grown(1 + ranks * 8 // field.size).astype(np.uint8)
    y, x = np.ogrid[: _SHAPE[1], : _SHAPE[2]]
    lungs = ((y - 256) / 130) ** 2 + ((np.abs(x - 256) - 95) / 75) ** 2 < 1
    readings = []
    for rater in _RATERS:
        own = field + 0.3 * field.std() * gaussian_filter(rng.normal(size=coarse), 1.5)
        drawn = gaussian_filter(grown(own).astype(np.float32), 3) > np.quantile(own, 0.75)
        readings.append(SourceReading(rater, kinds * (drawn & lungs)))
    image = rng.integers(-1000, 400, _SHAPE, dtype=np.int16)
    geometry = Geometry(_SHAPE, (2.5, 0.7, 0.7))
    return SourceCase(f"case-{seed}", f"case-{seed}", "", image, (), geometry, tuple(readings))


def _reader(read: Callable[[int, int], Pair], order: NDArray) -> Callable[[], list[Pair]]:
    """Read slices one after the other, as training does, and keep a few to compare."""

    def run() -> list[Pair]:
        kept = []
        for number, (case, k) in enumerate(order.tolist()):
            pair = read(case, k)
            if number % 16 == 0:
                kept.append(pair)
        return kept

    return run


def _equal(a: list[Pair], b: list[Pair]) -> bool:
    return all(np.array_equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))


class _FromMaps:
    """The same bytes as two plain arrays a case; a slice is copied out of the map, as training needs it.

    ``opened`` maps them once for all; else each read calls ``np.load``, as a data set that opens files by name does.
    """

    def __init__(self, folder: Path, store: Store, opened: bool) -> None:
        self._files = []
        for record in store.dataset.records:
            case = store.dataset.load(record)
            arrays = {"image": case.image, "masks": np.ascontiguousarray(case.stacked()[0].swapaxes(0, 1))}
            self._files.append([folder / f"{record.case_id}-{name}.npy" for name in arrays])
            for file, array in zip(self._files[-1], arrays.values(), strict=True):
                np.save(file, array)
        self._maps = [[np.load(f, mmap_mode="r") for f in files] for files in self._files] if opened else None

    def __len__(self) -> int:
        return len(self._files)

    def __call__(self, case: int, k: int) -> Pair:
        maps = self._maps[case] if self._maps else [np.load(f, mmap_mode="r") for f in self._files[case]]
        image, masks = maps
        return np.array(image[k]), np.array(masks[k])


def _persistent(folder: Path, maps: _FromMaps) -> Callable[[int, int], Pair]:
    """MONAI's cache with a slice an item, which suits it best: with a case an item it would read every slice."""
    import torch
    from monai.data import PersistentDataset

    def load(item: dict[str, int]) -> dict[str, Any]:
        image, masks = maps(item["case"], item["slice"])
        return {"image": torch.from_numpy(image), "masks": torch.from_numpy(masks)}

    items = [{"case": c, "slice": k} for c in range(len(maps)) for k in range(_SHAPE[0])]
    dataset = PersistentDataset(items, load, folder)

    def read(case: int, k: int) -> Pair:
        found = dataset[case * _SHAPE[0] + k]
        return found["image"].numpy(), found["masks"].numpy()

    return read


def store_slice() -> Iterator[Comparison]:
    """Random slices of 512 x 512 with the masks of four raters, from files in the system's cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = open_dataset(write_dataset(folder / "data", _info(), [_case(0), _case(1)]))
        done = prepare(dataset)
        store = Store(dataset)
        order = np.random.default_rng(0).integers((0, 0), (len(dataset), _SHAPE[0]), (_READS, 2))

        def ours(case: int, k: int) -> Pair:
            slab = store.read_slices(dataset.records[case], k, k + 1)
            return slab.image[0], slab.masks[:, 0]

        sizes = {"masks_over_raw": done.mask_bytes / done.raw_mask_bytes}
        monai = _persistent(folder / "cache", _FromMaps(folder, store, opened=True))
        against_monai = compare(
            "store_slice", _reader(ours, order), _reader(monai, order), "MONAI PersistentDataset", _equal
        )
        yield dataclasses.replace(against_monai, further=sizes)
        for job, peer, opened in (
            ("store_slice_mmap", 'np.load(mmap_mode="r")', False),
            ("store_slice_open_map", 'np.load(mmap_mode="r") once and for all', True),
        ):
            maps = _FromMaps(folder, store, opened)
            yield compare(job, _reader(ours, order), _reader(maps, order), peer, _equal)
