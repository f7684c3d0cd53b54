"""How fast prediction is: many readings, dropout draws, and a whole scan beside the same network called plainly.

The networks have random weights: time does not depend on them. Each job has as many threads as OMP_NUM_THREADS says.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SliceInferer
from numpy.typing import NDArray
from plain_unet import PlainUNet
from timing import Comparison, Timed, compare, main
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.case import Case, Geometry
from probseg.distribution import Draws
from probseg.inference import predict_scan
from probseg.io import nifti
from probseg.labels import LabelClass, LabelSet
from probseg.memory import keep_freed_memory
from probseg.models import Deterministic, MonteCarloDropout, ProbabilisticUNet
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.models.monte_carlo_dropout import channels_dropped
from probseg.networks import UNet, logits_under
from probseg.records import DatasetInfo

CHANNELS = (24, 48, 72, 96)
SLICES, SIZE = 100, 512
READINGS, DROPOUT_DRAWS = 100, 20
WINDOW, OVERLAP, WINDOWS_A_CALL, SLICES_A_CALL = 256, 0.25, 4, 2
WINDOW_HU = (-1000.0, 400.0)


def trained(network: nn.Module) -> nn.Module:
    """Batch norm with statistics as after a training, where it can neither be left out nor folded by luck."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network


def bound(model: SegmentationModule) -> SegmentationModule:
    """A model that knows its labels, ready to predict."""
    labels = LabelSet((LabelClass(0, "background"), LabelClass(1, "lesion")))
    model.bind(DatasetInfo("benchmark", 3, labels, WINDOW_HU))
    return model.eval()


def networks() -> tuple[UNet, PlainUNet]:
    """The default network, and the same weights in one as one writes it down."""
    torch.manual_seed(0)
    ours = UNet(channels=CHANNELS)
    trained(ours)
    plain = PlainUNet(CHANNELS)
    plain.load_state_dict(ours.state_dict())
    return ours.eval(), plain.eval()


def scan() -> Case:
    """``(100, 512, 512)`` HU: a body with lungs and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    hu = np.where(np.hypot(y / 0.8, x) < 0.45, 40.0, -1000.0)
    hu = np.where(np.hypot(y / 1.3, abs(x) - 0.2) < 0.15, -850.0, hu)
    image = np.empty((SLICES, SIZE, SIZE), np.int16)
    for k in range(SLICES):
        image[k] = hu + rng.normal(0, 30, hu.shape)
    return Case("scan", "p", "", image, {}, Geometry(image.shape, (2.5, 0.7, 0.7)))


def close(a: NDArray, b: NDArray) -> bool:
    """Equal to rounding."""
    return bool(np.allclose(a, b, atol=1e-4))


@torch.inference_mode()
def readings() -> Iterator[Comparison]:
    """A hundred readings of a slice from features that both sides have; samples alone."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(UNet(channels=CHANNELS))
    bound(model)
    combiner, space = model.combiner, (SIZE, SIZE)
    features = model.unet.features(torch.rand(1, 1, *space))
    latent = torch.randn(READINGS, 1, model.latent)
    weight = torch.cat([combiner.from_features.weight, combiner.from_latent.weight[..., None, None]], dim=1)

    def ours() -> Tensor:
        return logits_under(model.unet, combiner, features, latent, space)

    def loop() -> Tensor:
        found = []
        for z in latent:
            tiled = z[:, :, None, None].expand(-1, -1, *features.shape[2:])
            x = F.relu(F.conv2d(torch.cat([features, tiled], dim=1), weight, combiner.from_features.bias))
            changed = features + combiner.to_features(F.relu(combiner.between(x)))
            found.append(model.unet.head(changed, space))
        return torch.stack(found)

    yield compare("readings", ours, loop, "loop that tiles and concatenates", lambda a, b: close(a.numpy(), b.numpy()))


@torch.inference_mode()
def dropout_last_stage() -> Iterator[Comparison]:
    """Twenty draws of a network that drops channels at the end of its decoder."""
    torch.manual_seed(0)
    network = UNet(channels=CHANNELS)
    last = network.up[-1]
    assert isinstance(last, nn.Sequential)
    last.append(nn.Dropout2d(0.2))
    model, image, draws = bound(MonteCarloDropout(network)), torch.rand(1, 1, SIZE, SIZE), Draws(DROPOUT_DRAWS)

    def ours() -> Tensor:
        return model(image, draws).logits[:, 0]

    def passes() -> Tensor:
        found = []
        for k in range(DROPOUT_DRAWS):
            with channels_dropped(network, draws, k):
                found.append(network(image))
        return torch.stack(found)

    name = "twenty passes of the same network"
    yield compare("dropout_last_stage", ours, passes, name, lambda a, b: close(a.numpy(), b.numpy()))


def scan_plain() -> Iterator[Comparison]:
    """All maps of a scan against probabilities and labels by the network called plainly, a slice at a time."""
    keep_freed_memory()  # as `probseg predict` does; it serves both sides
    ours_network, plain = networks()
    model, case = bound(Deterministic(ours_network)), scan()
    assert model.info is not None
    info = model.info

    def ours() -> NDArray:
        return predict_scan(model, case, Draws(1), SLICES_A_CALL).mean

    @torch.inference_mode()
    def plainly() -> NDArray:
        found = np.empty((2, *case.image.shape), np.float32)
        labels = np.empty(case.image.shape, np.uint8)
        for k, picture in enumerate(info.normalise(case.image)):
            probability = plain(torch.from_numpy(picture)[None, None]).softmax(dim=1)[0]
            found[:, k], labels[k] = probability.numpy(), probability.argmax(dim=0).numpy()
        return found

    found = compare("scan_plain", ours, plainly, "the same U-Net called slice by slice, fp32", close, rounds=5)
    yield replace(found, further={"memory_share": memory_share()})


def memory_share() -> float:
    """Most memory that the prediction of a scan took beyond the scan's own, over that of its maps and of one batch."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory_share)


def _memory_share() -> float:
    model, case = bound(Deterministic(networks()[0])), scan()
    one = replace(
        case, image=case.image[:SLICES_A_CALL], geometry=Geometry((SLICES_A_CALL, SIZE, SIZE), (2.5, 0.7, 0.7))
    )
    predict_scan(model, one, Draws(1), SLICES_A_CALL)  # what libraries take once
    start = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    batch = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - start
    p = predict_scan(model, case, Draws(1), SLICES_A_CALL)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - start
    maps = sum(x.nbytes for x in (p.mean, p.mode, p.entropy, p.epistemic, p.ambiguity, p.noise))
    return peak / (maps + batch)


def scan_monai() -> Iterator[Comparison]:
    """The same windows by MONAI, and the same weights in the network as one writes it down."""
    keep_freed_memory()
    ours_network, plain = networks()
    model, case = bound(Deterministic(ours_network)), scan()
    assert model.info is not None
    image = torch.from_numpy(model.info.normalise(case.image))[None, None]
    inferer = SliceInferer(
        spatial_dim=0, roi_size=(WINDOW, WINDOW), sw_batch_size=WINDOWS_A_CALL, overlap=OVERLAP, mode="gaussian"
    )

    def ours() -> NDArray:
        return predict_scan(model, case, Draws(1), WINDOWS_A_CALL, window=(WINDOW, WINDOW), overlap=OVERLAP).mean

    @torch.inference_mode()
    def monai() -> NDArray:
        found = inferer(image, lambda part: plain(part).softmax(dim=1))
        assert isinstance(found, Tensor)
        return found[0].numpy()

    def alike(a: NDArray, b: NDArray) -> bool:
        # MONAI raises weights below 0.001 after multiplying those of the axes, we do before: corners weigh otherwise
        return bool(abs(a - b).max() < 0.01 and ((a[1] > 0.5) == (b[1] > 0.5)).mean() > 0.9999)

    yield compare("scan_monai", ours, monai, "MONAI SliceInferer, fp32", alike, rounds=5)


def command() -> Iterator[Comparison]:
    """The whole command, reading, maps and files, against its network alone: below 1 by what it adds."""
    case = scan()
    for family, draws in (("Deterministic", 1), ("ProbabilisticUNet", 16)):
        torch.manual_seed(0)
        network = {"class_path": "probseg.networks.UNet", "init_args": {"channels": list(CHANNELS)}}
        config = {"class_path": f"probseg.models.{family}", "init_args": {"network": network, "draws": draws}}
        model = bound(build_model(config))
        with tempfile.TemporaryDirectory() as name:
            yield _command(model, case, Path(name), draws)


def _command(model: SegmentationModule, case: Case, folder: Path, draws: int) -> Comparison:
    assert model.info is not None
    nifti.write(folder / "scan.nii.gz", case.image, case.geometry)
    stored = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(stored, folder / "model.ckpt")
    words = [
        folder / "model.ckpt",
        folder / "scan.nii.gz",
        "--out",
        folder / "out",
        "--overwrite",
        "--batch-size",
        SLICES_A_CALL,
    ]
    line = [sys.executable, "-m", "probseg", "predict", *map(str, words)]
    pictures = torch.from_numpy(model.info.normalise(case.image))[:, None]

    def whole() -> Timed:
        start = time.perf_counter()
        subprocess.run(line, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        summary = json.loads((folder / "out" / "scan" / "summary.json").read_text())
        return Timed(seconds, summary["volumes"][0]["mean_ml"])

    @torch.inference_mode()
    def network_alone() -> Timed:
        seconds = voxels = 0.0
        for k in range(0, SLICES, SLICES_A_CALL):
            start = time.perf_counter()
            distribution = model(pictures[k : k + SLICES_A_CALL], Draws(draws))
            seconds += time.perf_counter() - start
            voxels += float(distribution.mean[:, 1].double().sum())
        return Timed(seconds, voxels * case.geometry.voxel_volume_ml)

    def same_volume(a: Timed, b: Timed) -> bool:
        return bool(np.isclose(a.result, b.result, rtol=1e-4))

    job = f"command_{type(model).__name__}"
    found = compare(job, whole, network_alone, "its network alone", same_volume, rounds=5)
    return replace(found, further={"overhead": 1 / float(np.median(found.ratios)) - 1})


if __name__ == "__main__":
    sys.exit(main([readings, dropout_last_stage, scan_plain, scan_monai, command], __doc__ or ""))
