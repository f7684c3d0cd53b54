"""What each reader that a run offers would draw of its test images, against every rater: ``readers.csv`` of the run.

A model that knows its raters offers each of them and what stands for all of them (`consensus`, `truth`); another offers
one, the most probable class of its mean distribution, named for its target.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from probseg.analysis import pairwise_dice
from probseg.data.datamodule import MultiRaterData
from probseg.distribution import Draws
from probseg.io.tables import write_csv
from probseg.models import RaterConditioned, RaterConfusion, SegmentationModule, load_model

COLUMNS = ("case_id", "reader", "rater", "dice", "reader_pixels", "rater_pixels")
CENTRES = ("consensus", "truth")
DRAWS = 18


def readers_of(model: SegmentationModule, name: str) -> Iterator[tuple[str, Draws]]:
    """Each reader by name, the model being set to it, with the draws to take."""
    if isinstance(model, RaterConditioned | RaterConfusion):
        for reader in (*model.known.names, model.central):
            model.choose_rater(reader)
            yield reader, Draws(1)
    else:
        yield name, Draws(DRAWS)


def score(run: Path, dataset: Path) -> None:
    """Write ``readers.csv`` of a run, a row an image, reader and rater."""
    model, data = load_model(run), MultiRaterData(str(dataset))
    examples, raters = data.examples("test"), data.info.raters
    rows: list[tuple[object, ...]] = []
    for reader, draws in readers_of(model, run.name):
        for k in range(len(examples)):
            example = examples[k]
            with torch.no_grad():
                drawn = model(example.image[None], draws).maps().mode.to(torch.uint8)  # (1, rows, columns)
            dice = pairwise_dice(torch.cat([drawn, example.masks]).numpy(), 2)[0, 1:, 1]
            for place, value in zip(example.rater, dice.tolist(), strict=True):
                mask = example.masks[example.rater.index(place)]
                pixels = (int((drawn > 0).sum()), int((mask > 0).sum()))
                rows.append((example.case_id, reader, raters[place], value, *pixels))
    write_csv(run / "readers.csv", COLUMNS, rows)
