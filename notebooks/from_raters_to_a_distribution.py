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
# # From raters to a trained distribution
#
# Raters who disagree give no single truth to learn. This notebook trains a small network on *all* of their masks, lets
# it draw segmentations of patients whom it has not seen, and asks whether these differ as the raters do. The training
# takes a minute or two on one processor; it is a demonstration, not a good model.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample; with splits train and test
run = None  # folder of a trained run of a 2-D network, whose model is then measured instead of one trained here
structure = None  # a class or group of the label set; None for opacity where there is one, else the first class
steps = 400  # of the training
channels = [16, 32, 48]  # of the network's levels
crop = None  # size of training patches; None for whole images, and 96 x 96 on the slices of volumes
draws = 16  # readings of each image
most_images = 60  # test images, evenly spread

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader, Subset

from probseg.batch import collate
from probseg.data.datamodule import MultiRaterData
from probseg.data.transforms import FlipAndTurn
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.metrics import EnergyDistances
from probseg.models import StochasticSegmentation, load_model
from probseg.networks import UNet
from probseg.report import plots
from probseg.report.gallery import structure_of_interest
from probseg.report.results import Example
from probseg.training.advice import without_advice

plt.rcParams.update(plots.STYLE | {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 100})
_ = seed_everything(0, verbose=False)

# %% [markdown]
# ## What the network sees
#
# Each image comes with the masks of all who read it; no mask is chosen, and none is averaged away beforehand.

# %%
info = MultiRaterData(dataset).info
volumes = info.dimensions == 3
crop = [96, 96] if crop is None and volumes else crop
data = MultiRaterData(dataset, batch_size=16, slices=volumes, crop=crop, transforms=[FlipAndTurn()], seed=0)
labels = info.labels
structure = structure_of_interest(labels) if structure is None else structure
members = torch.from_numpy(labels.membership(structure)) == 1


def drawn(example):
    """What each rater drew of the structure, ``(raters, rows, columns)``."""
    return members[example.masks.long()] & example.rated


def spread_out(split, most):
    """Places of test images on which at least two raters looked and somebody drew, evenly spread."""
    examples = data.examples(split)
    some = range(0, len(examples), max(1, len(examples) // (4 * most)))
    good = [k for k in some if drawn(e := examples[k]).any() and e.rated.flatten(1).any(dim=1).sum() > 1]
    if not good:
        raise ProbsegError("E_NO_CASES", f"no {split} case of '{info.name}' has {structure} drawn and two raters")
    return good[:: -(-len(good) // most)]


places = spread_out("test", most_images)
tests = [data.examples("test")[k] for k in places]


def disputed(example):
    """Share of the pixels which anyone drew that not everyone drew."""
    inside = drawn(example)
    return float(1 - inside.all(dim=0).sum() / inside.any(dim=0).sum())


# Of the larger half, three cases from little to much dispute.
size = np.median([int(drawn(e).any(dim=0).sum()) for e in tests])
large = sorted((e for e in tests if drawn(e).any(dim=0).sum() >= size), key=disputed)
shown = [large[int(q * (len(large) - 1))] for q in (0.15, 0.5, 0.85)]


def example_of(e, distribution=None):
    """An image with its raters, and what a model makes of it, as the plots take it."""
    raters = e.rated.flatten(1).any(dim=1)
    mean, readings = np.zeros((labels.num_classes, *e.image.shape[1:]), np.float32), np.zeros((0,), np.uint8)
    maps = {}
    if distribution is not None:
        mean, readings = distribution.mean[0].numpy(), distribution.readings()[:, 0].numpy()
        maps = {"entropy": distribution.entropy[0].numpy(), "ambiguity": distribution.ambiguity[0].numpy()}
    masks, rated = e.masks[raters].numpy(), e.rated[raters].numpy()
    return Example(
        e.case_id, e.image[0].numpy(), masks, rated, mean, maps, readings, members=members.numpy().astype(np.int8)
    )


figure, grid = plt.subplots(len(shown), 3, figsize=(7.2, 2.4 * len(shown)), layout="constrained")
for row, e in zip(grid, shown, strict=True):
    plots.image(example_of(e), row[0]).set_title(e.case_id, fontsize=8)
    plots.rater_contours(example_of(e), row[1]).set_title("every rater's outline", fontsize=8)
    plots.rater_share(example_of(e), row[2]).set_title("share of raters who drew it", fontsize=8)
plt.show()

# %% [markdown]
# Left the image, in the middle a contour a rater, right the share of raters who drew each pixel; where the share is
# neither 0 nor 1 there is no truth that a network could hit with one mask.

# %%
print(f"{info.name}, {structure}: {len(data.examples('train'))} training images, {len(tests)} test images measured")

# %% [markdown]
# ## Training
#
# The family is a stochastic segmentation network (Monteiro et al. 2020): it predicts a mean of the logits and how they
# vary *together*, so that whole regions come and go as they do between raters. The loss is the likelihood of the
# raters' whole masks.


# %%
class Losses(Callback):
    """Remembers the loss of every step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append((trainer.global_step, float(outputs["loss"])))


if run is not None:
    model = load_model(run)
    print(f"{type(model).__name__}, trained before; nothing is trained here")
else:
    network = UNet(tests[0].image.shape[0], labels.num_classes, channels)
    model = StochasticSegmentation(
        network, rank=5, mean_weight=0.5, optimizer=lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.01)
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
    seen = np.array(losses.values)
    smooth = np.array([part.mean(axis=0) for part in np.array_split(seen, min(len(seen), 40))])
    figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
    plots.learning_curves({"train/loss": smooth}, axes, ("train/loss",)).set_ylabel("nats an image")
    axes.set_title("loss, mean over neighbouring steps", loc="left", fontsize=10)
    plt.show()
model = model.eval()

# %% [markdown]
# The loss falls as the masks of the raters become more likely under the model; where it is flat, more steps of this
# network would gain little.
#
# ## What it draws of patients whom it has not seen


# %%
@torch.no_grad()
def predict(e):
    """The distribution of one image."""
    return model(e.image[None], Draws(draws))


columns = 6
figure, grid = plt.subplots(2 * len(shown), columns, figsize=(10.5, 3.9 * len(shown)), layout="constrained")
for axes in grid.flat:
    axes.set_axis_off()
for k, e in enumerate(shown):
    answer = example_of(e, predict(e))
    inside = np.isin(answer.readings, members.nonzero().flatten().numpy()).astype(np.uint8)
    binary = Example(e.case_id, answer.image, answer.drawn.astype(np.uint8), answer.rated, answer.mean, {}, inside)
    top, bottom = grid[2 * k], grid[2 * k + 1]
    for r in range(min(4, len(binary.masks))):
        plots.rater_mask(binary, top[r], r).set_title(f"rater {r + 1}", fontsize=8)
    plots.rater_share(answer, top[4]).set_title("share of raters", fontsize=8)
    for r in range(min(4, len(inside))):
        plots.reading(binary, bottom[r], r).set_title(f"model's reading {r + 1}", fontsize=8)
    plots.rater_contours(answer, top[5]).set_title("every rater's outline", fontsize=8)
    plots.mean_probability(answer, bottom[4]).set_title("mean probability", fontsize=8)
    nats = plots.top_nats([answer], labels.num_classes)
    plots.uncertainty(answer, bottom[5], "ambiguity", nats).set_title(f"ambiguity, to {nats:.1f} nats", fontsize=8)
plt.show()

# %% [markdown]
# Two rows a case: above what the raters drew and their share, below what the model draws, its mean and where its
# readings differ. The two shares should look alike, and readings should differ as raters do: in the same places, and by
# as much. Speckled borders are the model's alone.
#
# ## Is it their distribution?
#
# The generalised energy distance (GED) compares two sets of masks: 0 for identical sets. It cannot reach 0 here, for a
# few raters and a few readings are samples; the *floor* is what a perfect model would score with so many of each.

# %%
many, alone = (EnergyDistances(labels.num_classes, n) for n in (draws, 1))
for batch in DataLoader(Subset(data.examples("test"), places), batch_size=1, collate_fn=collate):
    with torch.no_grad():
        distribution = model(batch.image, Draws(draws))
    one_mask = SegmentationDistribution(distribution.mean.clamp(min=1e-6).log()[None, None])
    for metric, what in ((many, distribution), (alone, one_mask)):
        metric.update(what, batch.masks, batch.rated, batch.index, batch.patient, batch.spacing_mm)
found = {"readings": many.intervals(), "one mask": alone.intervals()}
for name, figures in found.items():
    ged, floor = figures["ged_v"], figures["ged_floor"]
    between = f" ({ged.low:.3f} to {ged.high:.3f})" if np.isfinite(ged.low) else ""
    print(f"{name:<9} GED {ged.value:.3f}{between}, floor {floor.value:.3f}, n = {ged.n}")
apart = found["readings"]
print(f"distance between two readings: {apart['diversity'].value:.3f}")
print(f"distance between two raters:   {apart['rater_diversity'].value:.3f}")

# %%
figure, axes = plt.subplots(figsize=(4.4, 4), layout="constrained")
cases = many.per_case()
axes.scatter(cases["rater_diversity"], cases["diversity"], s=18, color=plots.ACCENT, alpha=0.6, linewidths=0)
axes.plot([0, 1], [0, 1], color=plots.MUTED, linestyle="--", linewidth=1)
axes.set(xlabel="distance between two raters", ylabel="distance between two readings", aspect="equal")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# A point a test image: on the dashed line the model's readings lie as far apart as the raters do. Above it the model is
# in more doubt than the raters, below it is surer than they are; a single mask would put all points at 0.
#
# ## What next
#
# - Train for longer, and choose among families: `probseg fit` and `probseg demo`; the runs then go to
#   `probseg report`.
# - Read the maps of such a model: the notebook `reading_an_uncertainty_map`.
# - Whether stated probabilities and volumes hold is another question: `calibration_and_volume_intervals`.
# - Write a family of your own: `a_new_family_in_sixty_lines`.
