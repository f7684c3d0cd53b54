"""Half precision is taken where the device has it and labels stay what they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from probseg.case import Case
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.inference import precision as precision_module
from probseg.inference import predict_scan
from probseg.inference.precision import agreement, half_precision, safe_precision
from probseg.models import SegmentationModule

CPU = torch.device("cpu")
Make = Callable[..., SegmentationModule]


def of_labels(labels: list[int]) -> SegmentationDistribution:
    return SegmentationDistribution(nn.functional.one_hot(torch.tensor(labels), 3).T[None, None, None, :, None].float())


def test_agreement_by_hand() -> None:
    # foreground in either: voxels 1, 2, 3; the same class: voxel 1
    assert agreement(of_labels([0, 1, 2, 0]), of_labels([0, 1, 1, 2])) == (3, 1)
    assert agreement(of_labels([0, 0]), of_labels([0, 0])) == (0, 0)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has it; torch computes it on any, slowly."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize(("share", "expected"), [(0.001, torch.bfloat16), (0.01, torch.float32)])
def test_half_of_what_keeps_its_class(share: float, expected: torch.dtype) -> None:
    def predict(part: torch.Tensor) -> SegmentationDistribution:
        labels = torch.ones(1000, dtype=torch.int64)
        if torch.is_autocast_enabled("cpu"):
            labels[: int(share * 1000)] = 0
        return of_labels(labels.tolist())

    assert safe_precision(CPU, predict, [torch.zeros(1)]) == expected


def test_a_device_without_it_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert half_precision(CPU) is None and half_precision(torch.device("meta")) is None
    assert safe_precision(CPU, lambda part: pytest.fail("asked"), [torch.zeros(1)]) == torch.float32


@pytest.mark.parametrize(("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_cuda(monkeypatch: pytest.MonkeyPatch, bf16: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert half_precision(torch.device("cuda")) == expected


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", ["Deterministic", "MonteCarloDropout", "ProbabilisticUNet"])
def test_a_scan_in_half_precision(make_model: Make, scan: Case, family: str, dimensions: int) -> None:
    model = make_model(family, dimensions)
    window = {2: None, 3: (4, 8, 8)}[dimensions]
    full, half = (predict_scan(model, scan, Draws(3), window=window, precision=p) for p in ("32", "half"))
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    assert 1e-6 < abs(full.mean - half.mean).max() < 0.05
    np.testing.assert_allclose(half.mean.sum(axis=0), 1, atol=1e-5)
    assert predict_scan(model, scan, Draws(3), window=window).precision in ("float32", "bfloat16")


@pytest.mark.usefixtures("bfloat16")
def test_a_scan_whose_labels_change_is_predicted_in_32_bits(
    make_model: Make, scan: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_module, "agreement", lambda full, half: (100, 99))
    assert predict_scan(make_model("Deterministic"), scan, Draws(1)).precision == "float32"
    with pytest.raises(ProbsegError, match="precision must be one of auto, 32, half"):
        predict_scan(make_model("Deterministic"), scan, Draws(1), precision="16")
