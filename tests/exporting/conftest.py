"""Small models of every family, and folders made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from probseg.data.synthetic import INFO
from probseg.exporting import About, RunFacts, export_model
from probseg.models import SegmentationModule, load_model
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

NAMED = replace(INFO, raters=("Ann", "Ben", "Cleo"))


def a(family: str, **settings: Any) -> dict[str, Any]:
    return {"class_path": f"probseg.models.{family}", "init_args": settings}


def unet(dimensions: int = 2, **settings: Any) -> dict[str, Any]:
    sizes = {"num_classes": INFO.labels.num_classes, "channels": [4, 8], "dimensions": dimensions}
    return {"class_path": "probseg.networks.UNet", "init_args": {**sizes, **settings}}


DETERMINISTIC = a("Deterministic", network=unet(), draws=3)
LATENT = a("ProbabilisticUNet", network=unet(), encoder_channels=[4], hidden=4, draws=3)
LOW_RANK = a("StochasticSegmentation", network=unet(), rank=3, draws=3)
FAMILIES = {
    "deterministic": DETERMINISTIC,
    "dropout": a("MonteCarloDropout", network=unet(dropout=0.3), draws=3),
    "concrete dropout": a("MonteCarloDropout", network=unet(dropout=0.3), concrete=True, draws=3),
    "latent": LATENT,
    "full covariance": a("ProbabilisticUNet", network=unet(), encoder_channels=[4], hidden=4, covariance="full"),
    "hierarchy": a("HierarchicalUNet", network=unet(), latents=[2, 2], widths=[4, 4], encoder_channels=[4], draws=3),
    "low rank": LOW_RANK,
    "ensemble": a("Ensemble", member=LOW_RANK, size=2, draws=4),
    "snapshots": a("SnapshotEnsemble", member=DETERMINISTIC, cycles=2),
    "swag": a("SWAG", member=DETERMINISTIC, rank=2, snapshots=2),
    "augmented": a("TestTimeAugmentation", member=DETERMINISTIC, draws=3),
    "styles": a("RaterConditioned", network=unet(), draws=3),
    "strangers": a("RaterConditioned", network=unet(), population=True, draws=3),
    "confusion": a("RaterConfusion", network=unet(), hidden=2, draws=3),
    "three axes": a("StochasticSegmentation", network=unet(3), rank=2, draws=3),
}


def made(config: dict[str, Any], info: DatasetInfo = NAMED) -> SegmentationModule:
    """A model that was not trained but is not blind either; its running statistics are not where they start."""
    torch.manual_seed(2)
    model = build_model(config)
    model.bind(info)
    generator = torch.Generator().manual_seed(5)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=generator) * 0.05)
    for part in model.modules():
        for count in ("collected", "taken"):
            if isinstance(getattr(part, count, None), torch.Tensor):
                getattr(part, count).fill_(2)
    return model.eval()


def saved(model: SegmentationModule, folder: Path) -> Path:
    """The checkpoint of a run folder as ``probseg fit`` leaves it."""
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}, path)
    return path


def exported(config: dict[str, Any], folder: Path) -> tuple[SegmentationModule, Path]:
    """A model and the folder that it was exported to, without ONNX."""
    checkpoint = saved(made(config), folder / "run")
    model = load_model(checkpoint)
    export_model(model, checkpoint, RunFacts(), About(), folder / "exported", onnx=False)
    return model, folder / "exported"


@pytest.fixture
def low_rank(tmp_path: Path) -> Path:
    """An exported folder."""
    return exported(LOW_RANK, tmp_path)[1]


def scan(model: SegmentationModule) -> torch.Tensor:
    """Images of the model's kind, normalised."""
    space = (4, 12, 8) if "'dimensions': 3" in str(model.config) else (12, 10)
    return torch.rand(2, 1, *space, generator=torch.Generator().manual_seed(0))
