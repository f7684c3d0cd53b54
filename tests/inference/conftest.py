"""Tiny trained-looking models, bound to a label set, and a scan of noise."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import numpy as np
import pytest
import torch

from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.models import SegmentationModule
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=20),),
)


@pytest.fixture
def make_model() -> Callable[..., SegmentationModule]:
    """``make(family, dimensions, info_dimensions)``: random weights, evaluation mode, three classes, window 0..100."""

    def make(family: str, dimensions: int = 2, info_dimensions: int = 3, **extra: Any) -> SegmentationModule:
        torch.manual_seed(5)
        unet = {"num_classes": 3, "channels": [4, 8], "dimensions": dimensions, "foreground": 0.4}
        unet |= {"dropout": 0.4} if family == "MonteCarloDropout" else {}
        network = {"class_path": "probseg.networks.UNet", "init_args": unet}
        arguments: dict[str, Any] = {"network": network, **extra}
        if family == "ProbabilisticUNet":
            arguments |= {"encoder_channels": [4], "hidden": 4}
        config: dict[str, Any] = {"class_path": f"probseg.models.{family}", "init_args": arguments}
        if family == "Ensemble":
            member = {"class_path": "probseg.models.Deterministic", "init_args": {"network": network}}
            config["init_args"] = {"member": member, "size": 2}
        model = build_model(config)
        model.bind(DatasetInfo("tiny", info_dimensions, LABELS, (0.0, 100.0)))
        with torch.no_grad():
            for layer in model.modules():  # the head's start is so sure of itself that all draws would look alike
                if isinstance(layer, torch.nn.Conv2d | torch.nn.Conv3d):
                    layer.weight.mul_(2.0)
        return model.eval()

    return make


@pytest.fixture
def scan() -> Case:
    """Seven slices of smooth noise, sizes that no power of two divides."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 100, (7, 13, 18)).astype(np.int16)
    return Case("noise", "p", "", image, {}, Geometry(image.shape, (2.0, 0.5, 0.5)))
