"""Small cases with a prediction beside them, made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from probseg.evaluation.case import EvaluatedCase
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, PredictedDistribution
from probseg.labels import LabelSet

MakeCase = Callable[..., EvaluatedCase]


@pytest.fixture
def labels() -> LabelSet:
    return LabelSet.binary("nodule")


@pytest.fixture
def make_case(labels: LabelSet) -> MakeCase:
    """A binary case of masks and readings; the mean is the share of readings, the mode what most of them say."""

    def make(
        masks: Any, readings: Any, rated: Any = None, name: str = "a", site: str = "", **given: Any
    ) -> EvaluatedCase:
        drawn, said = np.asarray(masks, np.uint8), np.asarray(readings, np.uint8)
        share = (said.sum(axis=0) / max(len(said), 1)).astype(np.float32)
        draws_ml: Sequence[Any] = given.get("draws_ml", said.sum(axis=tuple(range(1, said.ndim)))[:, None])
        prediction = PredictedDistribution(
            np.stack([1 - share, share]),
            (share > 0.5).astype(np.uint8),
            said,
            {m: np.zeros(share.shape, np.float32) for m in UNCERTAINTY_MAPS},
            given.get("num_draws", len(said)),
            np.asarray(draws_ml, np.float64),
        )
        looked = np.ones(drawn.shape, bool) if rated is None else np.asarray(rated, bool)
        raters = tuple(f"r{k}" for k in range(len(drawn)))
        return EvaluatedCase(
            name, given.get("patient", name), site, labels, raters, drawn, looked, None, 1.0, prediction
        )

    return make
