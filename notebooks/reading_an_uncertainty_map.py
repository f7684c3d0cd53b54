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
# # Reading an uncertainty map
#
# A model that learnt from several raters does not answer with one outline. It answers with many, and the maps in this
# notebook say where they differ, and why. By the end you can look at the four maps of a scan and tell
#
# * a border that raters draw differently, which no training will settle,
# * from a place the model has not learnt, which more training data should settle,
# * from a blurred edge that every single outline has.
#
# The notebook runs in seconds without a trained model: three of the four radiologists' masks of a lung nodule stand
# in for one, and the fourth is kept aside. Give it the folder of a trained run, and it reads that model's maps
# instead.

# %% tags=["parameters"]
run = None  # folder of a trained run, such as "demo/runs/probabilistic_unet"; None for the stand-in
dataset = "lidc-sample"  # a data set of 2-D images, or the sample that comes with the package
case_id = None  # None for a case on which the raters differ a good deal
draws = 16

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from probseg.distribution import Draws, SegmentationDistribution
from probseg.manifest import open_dataset
from probseg.report import plots
from probseg.report.results import Example

# %% [markdown]
# ## A case on which raters differ
#
# Four radiologists marked the same nodule. Their masks are called reading 1 to 4: the sample does not say who drew
# which.

# %%
data = open_dataset(dataset)
cases = data.select(splits=["test"])
assert data.info.dimensions == 2, "this notebook shows 2-D images"


def drawn(case):
    """The masks of the raters who looked, (raters, rows, columns), True on any foreground."""
    masks, rated = case.stacked()
    return masks[rated.any(axis=(1, 2))] > 0


def disputed(masks):
    """Share of the pixels which anyone drew that not everyone drew."""
    union = masks.any(axis=0)
    return 1 - masks.all(axis=0).sum() / union.sum() if union.any() else 0.0


if case_id is None:
    everybody = [c for c in cases if len(drawn(c)) == 4 and drawn(c).any(axis=(1, 2)).all()]
    large = [c for c in everybody if drawn(c).any(axis=0).sum() > 150]
    case = sorted(large, key=lambda c: disputed(drawn(c)))[int(0.8 * len(large))]
else:
    case = next(c for c in cases if c.case_id == case_id)

masks, rated = case.stacked()
masks, rated = masks[rated.any(axis=(1, 2))], rated[rated.any(axis=(1, 2))]
image = data.info.normalise(case.image)
print(f"case {case.case_id}: {disputed(drawn(case)):.0%} of the pixels that anyone drew are disputed")

# %% [markdown]
# ## A distribution over segmentations
#
# Whatever the family, a model's answer is a `SegmentationDistribution`: logits with two axes of draws.
#
# * **models**: draws of the weights (members of an ensemble, dropout masks). Where they differ, the model has not
#   learnt enough.
# * **readings**: plausible label maps under the same weights (latent samples of a probabilistic U-Net). Where they
#   differ, the raters themselves would.
#
# The stand-in has three models, which disagree about how large everything is by a pixel, and three readings, one from
# each of the masks it may see. Each reading has a soft edge. The last mask is held out.


# %%
def soft(mask, larger_by_pixels=0.0, softness_pixels=0.7):
    """Logits of a mask with a soft edge: the signed distance to its border, in units of the softness."""
    outside, inside = distance_transform_edt(mask == 0), distance_transform_edt(mask > 0)
    distance = np.where(mask > 0, inside - 0.5, 0.5 - np.minimum(outside, 50)) + larger_by_pixels
    return np.stack([np.zeros_like(distance), distance / softness_pixels])


seen, held_out = masks[:-1], masks[-1]
if run is None:
    logits = [[soft(mask, larger_by) for mask in seen] for larger_by in (-1.0, 0.0, 1.0)]
    distribution = SegmentationDistribution(torch.tensor(np.array(logits))[:, :, None])
else:
    from probseg.models.checkpoints import load_model

    model = load_model(run)
    with torch.no_grad():
        distribution = model(torch.from_numpy(image)[None, None], Draws(draws))

print(f"{distribution.num_models} models x {distribution.num_readings} readings of {distribution.num_classes} classes")

# %% [markdown]
# ## The four maps
#
# At every pixel, in nats:
#
# $$\underbrace{H[\text{mean}]}_{\text{entropy}} \;=\; \text{epistemic} \;+\; \text{ambiguity} \;+\; \text{noise}$$
#
# | map | what it measures | what to do about it |
# |---|---|---|
# | entropy | all doubt about the pixel; ln 2 = 0.69 nats is as undecided as a coin | look here first |
# | epistemic | the models disagree | more training data like this case |
# | ambiguity | the readings of one model disagree, as raters do | a second reader; report an interval, not a number |
# | noise | indecision left inside one reading, mostly along its edge | finer images, or nothing |
#
# The names say what the axes stand for in the model. That they are what they say is an assumption of the family, not
# measured truth.


# %%
def example(distribution):
    """What the plots of a report take."""
    maps = distribution.maps()
    parts = {name: getattr(maps, name)[0].numpy() for name in ("entropy", "epistemic", "ambiguity", "noise")}
    return Example(
        case.case_id, image, masks, rated, maps.mean[0].numpy(), parts, distribution.readings()[:, 0].numpy()
    )


def show_maps(examples, titles):
    """A row of maps for each example, on one scale."""
    top = plots.top_nats(examples, distribution.num_classes)
    figure, grid = plt.subplots(
        len(examples), 5, figsize=(12.5, 2.6 * len(examples)), squeeze=False, layout="constrained"
    )
    for axes_row, one, title in zip(grid, examples, titles, strict=True):
        plots.mean_probability(one, axes_row[0]).set_title("mean probability", fontsize=10)
        for axes, part in zip(axes_row[1:], one.maps, strict=True):
            plots.uncertainty(one, axes, part, top).set_title(part, fontsize=10)
        axes_row[0].text(-0.06, 0.5, title, rotation=90, ha="right", va="center", transform=axes_row[0].transAxes)
    figure.colorbar(grid[0, 1].images[0], ax=grid, label="nats", shrink=0.8, pad=0.01)


answer = example(distribution)
sum_of_parts = answer.maps["epistemic"] + answer.maps["ambiguity"] + answer.maps["noise"]
np.testing.assert_allclose(answer.maps["entropy"], sum_of_parts, atol=1e-5)

show_maps([answer], ["this case"])

# %% [markdown]
# The pale rim of the entropy map is where a pixel may well belong to the nodule or not. The three maps beside it add
# up to it, pixel by pixel, so each tells how much of the rim it explains.
#
# ## Each part on its own
#
# To learn what a part looks like, remove the others. Taking one model leaves nothing epistemic; taking one reading
# leaves no ambiguity; sharpening the edges removes the noise.

# %%
sharp = SegmentationDistribution(distribution.logits * 50)
only = {
    "models differ": SegmentationDistribution(sharp.logits[:, :1]),
    "readings differ": SegmentationDistribution(sharp.logits[:1]),
    "soft edge": SegmentationDistribution(distribution.logits[:1, :1]),
}
show_maps([example(d) for d in only.values()], list(only))

for name, alone in only.items():
    total = alone.entropy.sum().clamp(min=1e-9)
    shares = {part: float(getattr(alone, part).sum() / total) for part in ("epistemic", "ambiguity", "noise")}
    print(f"{name:>16}: " + ", ".join(f"{part} {share:.0%}" for part, share in shares.items()))

# %% [markdown]
# A deterministic network has one model and one reading: all of its doubt is noise, whatever the reason. That is why
# it can be well calibrated and still say nothing of what raters would draw.
#
# ## Readings
#
# Maps treat each pixel alone. A *reading* is a whole outline that a rater might have drawn, so it answers questions
# about the whole: how large is it, does it touch the pleura, is it there at all?

# %%
count = min(len(answer.readings), 8)
figure, grid = plt.subplots(2, 8, figsize=(12.5, 3.5), layout="constrained")
for axes in grid.flat:
    axes.set_axis_off()
for k in range(count):
    plots.reading(answer, grid[0, k], k).set_title(f"model's reading {k + 1}", fontsize=8)
for k in range(min(len(masks), 8)):
    title = f"rater's reading {k + 1}" + (", held out" if run is None and k == len(masks) - 1 else "")
    plots.rater_mask(answer, grid[1, k], k).set_title(title, fontsize=8)

# %% [markdown]
# The size of a structure with its range comes from the readings, never from thresholding the mean: the mean's outline
# is a compromise that nobody drew.

# %%
spacing = case.geometry.spacing
unit, scale = ("mm²", spacing[0] * spacing[1]) if spacing else ("pixels", 1.0)
areas = (answer.readings > 0).sum(axis=(1, 2)) * scale
raters = drawn(case).sum(axis=(1, 2)) * scale
low, middle, high = np.percentile(areas, [10, 50, 90])
print(f"model's readings: median {middle:.0f} {unit}, from {low:.0f} to {high:.0f} in 80 % of them")
print(f"raters:           {', '.join(f'{a:.0f}' for a in sorted(raters))} {unit}")

# %% [markdown]
# ## Does the map point at what a rater would change?
#
# A useful map is high where a rater departs from the model's outline. Sort the pixels by entropy, and ask how many of
# the pixels that the last rater, whom the stand-in never saw, would change lie among the most uncertain ones. Chance
# is the diagonal. One case shows how it is done; it proves nothing.

# %%
changed = (held_out > 0) != (distribution.mode[0].numpy() > 0)
order = np.argsort(-answer.maps["entropy"], axis=None, kind="stable")
found = np.cumsum(changed.ravel()[order]) / max(changed.sum(), 1)
share = np.arange(1, changed.size + 1) / changed.size

figure, axes = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
axes.plot(100 * share, 100 * found, color=plots.ACCENT)
axes.plot([0, 100], [0, 100], color=plots.MUTED, linestyle="--", linewidth=1)
axes.set(xlabel="most uncertain pixels looked at, %", ylabel="pixels the rater would change, found, %", xlim=(0, 100))
tenth = int(0.1 * changed.size)
print(f"the rater would change {changed.sum()} pixels; the most uncertain tenth holds {found[tenth - 1]:.0%} of them")

# %% [markdown]
# ## What a map cannot tell
#
# * A nodule that the model does not see at all is dark in every map: low uncertainty is no proof of absence.
# * The split depends on the family. One that has no latent variable reports no ambiguity, even where raters disagree
#   most; one with a single set of weights reports nothing epistemic, even on a scan unlike any it has seen.
# * Whether 0.7 means 70 % of raters is *calibration*, and it is measured on many cases: see the reliability curves of
#   `probseg report`.
#
# Next: `probseg demo` trains four families on this sample; set `run` above to one of its run folders and read on.
