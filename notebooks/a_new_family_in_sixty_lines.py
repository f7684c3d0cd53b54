# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A new family in sixty lines
#
# A family is a way to get from an image to a *distribution* over segmentations. This notebook writes one that the
# package does not have, trains it for a minute, and measures it with the same ruler as the others.
#
# The idea: raters who disagree drew *different* masks, so one answer cannot be like all of them. Give the network
# several heads, and ask of each rater's mask only that *some* head is like it (multiple hypotheses: Rupprecht et al.
# 2017, arXiv:1612.00197). The heads are then readings, what different raters might have drawn.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample; with splits train and test
structure = None  # a class or group of the label set; None for opacity where there is one, else the first class
heads = 6  # readings
steps = 400  # of the training
channels = [16, 32, 48]  # of the network's levels
crop = None  # size of training patches; None for whole images, and 96 x 96 on the slices of volumes
most_images = 60  # test images, evenly spread

# %% [markdown]
# ## The family
#
# It writes two methods: `forward(image, draws)` returns logits `(models, readings, batch, classes, *space)`, and
# `loss(batch)` the terms of the loss. Data, optimiser, checkpoints, figures, maps, volumes and reports are there
# already, and none of them asks which family it has.

# %% tags=["shown"]
"""Several answers of one network, each an equally likely reading."""

import math

import torch
from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.likelihood import mask_log_likelihood
from probseg.models import SegmentationModule


class MultipleHypotheses(SegmentationModule):
    """A U-Net with several heads, of which each rater's mask needs to be like one.

    Args:
        network: a network with ``features`` and ``head``, such as `probseg.networks.UNet`.
        heads: M, the number of readings, whatever number of draws is asked for.
        relaxation: share of a mask's weight that all heads bear alike, so that none is left behind.
        kwargs: those of `SegmentationModule`.
    """

    def __init__(self, network: nn.Module, heads: int = 8, relaxation: float = 0.05, **kwargs):
        super().__init__(network, **kwargs)
        if heads < 2 or not 0 <= relaxation <= 1:
            raise ProbsegError("E_SCHEMA", f"heads must be 2 or more and relaxation 0 to 1, not {heads}, {relaxation}")
        self.relaxation = relaxation
        width, conv = network.feature_channels, nn.Conv2d if network.dimensions == 2 else nn.Conv3d
        self.branches = nn.ModuleList(conv(width, width, 1) for _ in range(heads))

    def answers(self, image: Tensor) -> Tensor:
        """Logits of every head, (heads, batch, classes, *space); the features are computed once."""
        features = self.network.features(image)
        space = tuple(image.shape[2:])
        return torch.stack([self.network.head(features + branch(features), space) for branch in self.branches])

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model and as many readings as heads; draw k is head k in every slice and window."""
        return SegmentationDistribution(self.answers(image)[None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Negative log-likelihood of whole masks under the mixture of heads, nats an image."""
        target = self.target(batch, self.num_classes)
        answers = self.answers(batch.image)
        each = mask_log_likelihood(answers, target.labels, target.rated, self.admissible)  # (heads, batch, masks)
        mixture = torch.logsumexp(each, dim=0) - math.log(len(each))
        relaxed = (1 - self.relaxation) * mixture + self.relaxation * each.mean(dim=0)
        return {
            "loss": -(relaxed * target.share).sum(dim=1).mean(),
            "mixture": -(mixture * target.share).sum(dim=1).mean(),
        }


# %% [markdown]
# ## Training

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
from pytorch_lightning import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader, Subset

from probseg.batch import collate
from probseg.data.datamodule import MultiRaterData
from probseg.data.transforms import FlipAndTurn
from probseg.metrics import EnergyDistances
from probseg.networks import UNet
from probseg.report import plots
from probseg.report.gallery import structure_of_interest
from probseg.report.results import Example
from probseg.training.advice import without_advice

plt.rcParams.update(plots.STYLE | {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 100})
_ = seed_everything(0, verbose=False)
info = MultiRaterData(dataset).info
volumes = info.dimensions == 3
crop = [96, 96] if crop is None and volumes else crop
data = MultiRaterData(dataset, batch_size=16, slices=volumes, crop=crop, transforms=[FlipAndTurn()], seed=0)
labels = info.labels
structure = structure_of_interest(labels) if structure is None else structure
members = torch.from_numpy(labels.membership(structure)) == 1


class Losses(Callback):
    """Remembers the loss of every step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append((trainer.global_step, float(outputs["loss"])))


first = data.examples("test")[0]
model = MultipleHypotheses(
    UNet(first.image.shape[0], labels.num_classes, channels),
    heads=heads,
    optimizer=lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.01),
)
losses = Losses()
with without_advice():
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[losses],
        gradient_clip_val=100.0,
    )
    trainer.fit(model, data)
model = model.eval()

seen = np.array(losses.values)
smooth = np.array([part.mean(axis=0) for part in np.array_split(seen, min(len(seen), 40))])
figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
plots.learning_curves({"train/loss": smooth}, axes, ("train/loss",)).set_ylabel("nats an image")
axes.set_title("loss, mean over neighbouring steps", loc="left", fontsize=10)
plt.show()

# %% [markdown]
# The loss is the surprise of the mixture of heads at whole masks: it falls as heads come to share out what raters draw.
#
# ## What the heads have learnt


# %%
def drawn(example):
    """What each rater drew of the structure, ``(raters, rows, columns)``."""
    return members[example.masks.long()] & example.rated


examples = data.examples("test")
some = range(0, len(examples), max(1, len(examples) // (4 * most_images)))
places = [k for k in some if drawn(e := examples[k]).any() and e.rated.flatten(1).any(dim=1).sum() > 1]
if not places:
    raise ProbsegError("E_NO_CASES", f"no test case of '{info.name}' has {structure} drawn and two raters")
places = places[:: -(-len(places) // most_images)]


def disputed(k):
    """Share of the pixels which anyone drew that not everyone drew."""
    inside = drawn(examples[k])
    return float(1 - inside.all(dim=0).sum() / inside.any(dim=0).sum())


size = np.median([int(drawn(examples[k]).any(dim=0).sum()) for k in places])
large = sorted((k for k in places if drawn(examples[k]).any(dim=0).sum() >= size), key=disputed)
shown = [examples[large[int(q * (len(large) - 1))]] for q in (0.3, 0.8)]

columns = min(heads, 6) + 1
figure, grid = plt.subplots(2 * len(shown), columns, figsize=(1.55 * columns, 3.5 * len(shown)), layout="constrained")
for axes in grid.flat:
    axes.set_axis_off()
for k, e in enumerate(shown):
    with torch.no_grad():
        distribution = model(e.image[None], Draws(heads))
    readings = members[: labels.num_classes][distribution.readings()[:, 0].long()].numpy().astype(np.uint8)
    masks = drawn(e)[e.rated.flatten(1).any(dim=1)].numpy().astype(np.uint8)
    maps = {"ambiguity": distribution.ambiguity[0].numpy(), "entropy": distribution.entropy[0].numpy()}
    both = Example(e.case_id, e.image[0].numpy(), masks, np.ones_like(masks, bool), np.zeros((2, 1, 1)), maps, readings)
    top, bottom = grid[2 * k], grid[2 * k + 1]
    for r in range(min(len(masks), columns - 1)):
        plots.rater_mask(both, top[r], r).set_title(f"rater {r + 1}", fontsize=8)
    plots.rater_share(both, top[-1]).set_title("share of raters", fontsize=8)
    for r in range(columns - 1):
        plots.reading(both, bottom[r], r).set_title(f"head {r + 1}", fontsize=8)
    nats = plots.top_nats([both], labels.num_classes)
    plots.uncertainty(both, bottom[-1], "ambiguity", nats).set_title(f"ambiguity, to {nats:.1f}", fontsize=8)
plt.show()

# %% [markdown]
# Two rows a case: above the raters, below the heads; heads that draw small, large, or nothing at all stand for raters
# who do. There is one set of weights, so nothing is epistemic: where heads differ is ambiguity.
#
# ## Measured like any other
#
# The generalised energy distance (`ged_v`) between readings and raters is 0 for identical sets; the floor is what a
# perfect model would score with as many readings drawn at random. Heads that share out the masks are not drawn at
# random, so they may lie below it.

# %%
metric = EnergyDistances(labels.num_classes, heads)
best = np.zeros(heads, int)
for batch in DataLoader(Subset(examples, places), batch_size=1, collate_fn=collate):
    with torch.no_grad():
        distribution = model(batch.image, Draws(heads))
        each = mask_log_likelihood(distribution.logits[0], batch.masks, batch.rated, model.admissible)
    metric.update(distribution, batch.masks, batch.rated, batch.index, batch.patient, batch.spacing_mm)
    looked = batch.rated[0].flatten(1).any(dim=1)
    best += np.bincount(each[:, 0, looked].argmax(dim=0).numpy(), minlength=heads)
figures = metric.intervals()
for name in ("ged_v", "ged_floor", "diversity", "rater_diversity"):
    f = figures[name]
    between = f"({f.low:.3f} to {f.high:.3f})" if np.isfinite(f.low) else "(one patient has no interval)"
    print(f"{name:<16}{f.value:.3f}  {between}  n = {f.n}")

# %%
figure, axes = plt.subplots(figsize=(5, 2.8), layout="constrained")
axes.bar(range(1, heads + 1), 100 * best / best.sum(), color=plots.ACCENT)
axes.axhline(100 / heads, color=plots.MUTED, linestyle="--", linewidth=1)
axes.set(xlabel="head", ylabel="raters' masks it fits best, %", xticks=range(1, heads + 1))
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Each head should be the best for some masks; on the dashed line all are equally so. A head without a bar was left
# behind: a larger `relaxation` pulls it along.
#
# ## What next
#
# - Save the class as `my_families.py`, name it in a YAML file, and the whole command line is yours:
#   `docs/tutorials/add_a_family.md` has both files and the commands.
# - Hold it to the laws there: draw k does not depend on the batch, and voxels that nobody rated do not change the loss.
# - Compare it with the package's families: `probseg test`, then `probseg compare` and `probseg report`.
