"""Ambiguity rises with disagreement and not with less data; epistemic the other way round.

Discs among other shapes, which four raters of known habits draw: rater r's radius is the true one plus a share of
``SPREAD`` that is r's own in every image. No image tells it, so no amount of data removes it, and a single image shows
all of it. That matters: where radii are drawn at random instead, four images are too few to tell how far raters differ,
and less data changes the disagreement itself.

The number of training steps is the same everywhere, so that less data is not less training. Members are trained apart,
each with a seed of its own and on as many images, drawn with replacement from those there are (bagging, Breiman 1996,
doi:10.1007/BF00058655): few images stand for many that might have been seen, and which ones they are is what members
must differ in. Members that all see the same four images learn the same by heart; ``epistemic`` rose with less data
then, too, in six of six trials, but in one of them no more than 1.4 times.

Figures are means over one region, the same for all networks: what raters of the full spread drew on images held out,
grown by 5 pixels. The least and greatest ratio of seeds 0 to 4, of which the test takes one from the middle:

                      with disagreement                  with less data
                 many images   few images    without disagreement     with it
    ambiguity     5.3 to 7.5   4.7 to 8.8         0.75 to 1.23      0.68 to 1.14
    epistemic    0.66 to 0.84  0.30 to 0.61       3.7 to 8.3        1.9 to 5.9

Disagreement even lowers ``epistemic``: masks that differ keep members from certainty, and two that are unsure differ by
fewer nats than two that are sure of different things.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from probseg.analysis.region import union_region
from probseg.batch import Example, collate
from probseg.distribution import Draws
from probseg.labels import LabelClass, LabelSet
from probseg.models import Ensemble, StochasticSegmentation
from probseg.networks import UNet
from probseg.records import DatasetInfo

INFO = DatasetInfo("discs", 2, LabelSet((LabelClass(0, "background"), LabelClass(1, "disc"))), (0.0, 1.0))
SIZE = 20  # pixels
HABITS = np.array((-1.15, -0.32, 0.32, 1.15))  # of four raters: quantiles of a normal distribution, in parts of SPREAD
SPREAD = 1.5  # pixels
MANY, FEW, HELD_OUT = 160, 4, 16  # images
MEMBERS, READINGS = 3, 100
STEPS, BATCH = 70, 12

Figures = dict[tuple[int, float], tuple[float, float]]


def scene(rng: np.random.Generator) -> tuple[NDArray, NDArray, float]:
    """An image with a disc and two other shapes as bright, each pixel's distance from the disc's centre, its radius."""
    y, x = np.mgrid[:SIZE, :SIZE]
    centre, radius = rng.uniform(7, SIZE - 8, 2), rng.uniform(3.5, 5.5)
    distance = np.hypot(y - centre[0], x - centre[1])
    bright = distance < radius
    for _ in range(2):
        row, column, half = *rng.uniform(1, SIZE - 2, 2), rng.uniform(1.5, 4.0)
        down, right = abs(y - row), abs(x - column)
        shapes = (
            np.maximum(down, right) < half,  # square
            (down < half) & (right < 1.0),  # bars
            (down < 1.0) & (right < half),
            (np.minimum(down, right) < 1.0) & (np.maximum(down, right) < half),  # cross
            abs(np.hypot(down, right) - half) < 0.8,  # ring
        )
        shape = shapes[rng.integers(len(shapes))]
        if distance[shape].min(initial=SIZE) > radius + 2:
            bright = bright | shape
    image = rng.uniform(0.1, 0.3) + rng.uniform(0.3, 0.6) * bright + 0.12 * rng.standard_normal((SIZE, SIZE))
    return image.clip(0, 1), distance, radius


def examples_of(seed: int, number: int, spread: float) -> list[Example]:
    """The first ``number`` images of a seed with the masks of raters who differ by ``spread``."""
    rng = np.random.default_rng(seed)
    examples = []
    for k in range(number):
        image, distance, radius = scene(rng)
        masks = torch.from_numpy((distance < radius + spread * HABITS[:, None, None]).astype(np.uint8))
        pixels = torch.from_numpy(image[None].astype(np.float32))
        examples.append(Example(pixels, masks, masks < 2, k, k, str(k), "", torch.ones(2)))
    return examples


def network() -> StochasticSegmentation:
    return StochasticSegmentation(UNet(1, 2, (8, 16), foreground=0.15), rank=3, samples=4, mean_weight=1.0)


def trained(examples: Sequence[Example], seed: int) -> dict[str, torch.Tensor]:
    """The weights of a member that is trained on a resample of the examples."""
    torch.manual_seed(seed)
    model = network()
    model.bind(INFO)
    own = [examples[k] for k in torch.randint(len(examples), (len(examples),))]
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=STEPS, pct_start=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model.loss(collate([own[k] for k in torch.randint(len(own), (BATCH,))]))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        schedule.step()
    return model.state_dict()


def measured(seed: int) -> Figures:
    """Mean ambiguity and epistemic, nats, of an ensemble for each number of images and spread of raters."""
    held_out = collate(examples_of(seed + 1000, HELD_OUT, SPREAD))
    nothing = np.zeros((SIZE, SIZE), dtype=np.uint8)
    region = torch.from_numpy(np.stack([union_region(masks, nothing, 2) for masks in held_out.masks.numpy()]))
    figures = {}
    for number in (MANY, FEW):
        for spread in (0.0, SPREAD):
            examples = examples_of(seed, number, spread)
            ensemble = Ensemble(network(), size=MEMBERS)
            ensemble.bind(INFO)
            ensemble.compose([trained(examples, 100 * seed + k) for k in range(MEMBERS)])
            with torch.inference_mode():
                found = ensemble.eval()(held_out.image, Draws(MEMBERS * READINGS))
            figures[number, spread] = found.ambiguity[region].mean().item(), found.epistemic[region].mean().item()
    return figures


def ratios(figures: Figures, which: int) -> tuple[list[float], list[float]]:
    """How many times greater with disagreement (many images, few), and with less data (no disagreement, some)."""
    value = {key: found[which] for key, found in figures.items()}
    disagreement = [value[number, SPREAD] / value[number, 0.0] for number in (MANY, FEW)]
    less_data = [value[FEW, spread] / value[MANY, spread] for spread in (0.0, SPREAD)]
    return disagreement, less_data


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measured(seed=2)


def test_ambiguity_rises_with_disagreement_and_not_with_less_data(figures):
    disagreement, less_data = ratios(figures, 0)
    assert min(disagreement) > 3
    assert max(less_data) < 1.5


def test_epistemic_rises_with_less_data_and_not_with_disagreement(figures):
    disagreement, less_data = ratios(figures, 1)
    assert min(less_data) > 1.5
    assert max(disagreement) < 1.0
