"""Tiny models and a tiny dataset of two sites, whose masks may be made to bite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from probseg.adapting import SiteData
from probseg.case import Case, Geometry
from probseg.labels import LabelSet
from probseg.models import SegmentationModule
from probseg.models.loading import build_model
from probseg.records import CaseRecord, Dataset, DatasetInfo, Reading

INFO = DatasetInfo("toy", 2, LabelSet.binary("nodule"), (0.0, 1.0), stable_raters=False)


def pictures(split_of: Callable[[int], str], images: np.ndarray, site: str = "new", bite: bool = False) -> Dataset:
    """A dataset of one image a patient with two masks each; ``bite`` raises where a mask would be read."""
    readings = (Reading("a", "0"), Reading("b", "1"))
    records = tuple(
        CaseRecord(f"case-{k}", f"patient-{k}", site, split_of(k), str(k), readings) for k in range(len(images))
    )

    def load(record: CaseRecord) -> Case:
        if bite and record.readings:
            raise AssertionError("a mask was read")
        image = images[int(record.image)]
        masks = {r.rater: (image > 0.5).astype(np.uint8) for r in record.readings}
        return Case(record.case_id, record.patient_id, record.site, image, masks, Geometry(image.shape, (1.0, 1.0)))

    return Dataset(INFO, records, load)


def blobs(number: int, seed: int = 0, size: int = 16, contrast: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """``(number, size, size)``: a disc on noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(size / 3, 2 * size / 3, (number, 2, 1, 1))
    disc = np.hypot(y - centre[:, 0], x - centre[:, 1]) < size / 5
    image = 0.3 + 0.4 * contrast * disc + 0.05 * rng.standard_normal((number, size, size)) + offset
    return np.clip(image, 0, 1).astype(np.float32)


def unet_model(family: str = "Deterministic", norm: str = "batch", **arguments: Any) -> SegmentationModule:
    """A tiny model of a family, bound, in evaluation mode."""
    torch.manual_seed(0)
    unet = {"channels": [4, 8], "foreground": 0.3, "norm": norm, "dropout": arguments.pop("dropout", 0.0)}
    network = {"class_path": "probseg.networks.UNet", "init_args": unet}
    model = build_model(
        {"class_path": f"probseg.models.{family}", "init_args": {"network": network, "draws": 4, **arguments}}
    )
    model.bind(INFO)
    return model.eval()


@pytest.fixture(scope="session")
def trained() -> SegmentationModule:
    """A model that finds bright discs, trained for a moment; copy it before it is changed."""
    model = unet_model()
    images = torch.from_numpy(blobs(64, seed=1))[:, None]
    truth = (images[:, 0] > 0.5).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for start in range(0, 64 * 12, 16):
        chosen = torch.arange(start, start + 16) % 64
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model.network(images[chosen]), truth[chosen]).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def site_of() -> Callable[..., SiteData]:
    """Images as a new site whose masks bite."""

    def make(images: np.ndarray, bite: bool = True) -> SiteData:
        dataset = pictures(lambda k: "train", images, bite=bite)
        return SiteData(dataset, dataset.records, {})

    return make
