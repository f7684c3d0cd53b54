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
# Without a trained model, the masks of all raters but one stand in for one, and the last is kept aside. Give it a
# trained run, or what `probseg predict --readings 8` wrote, and it reads that model's maps instead.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample
run = None  # folder of a trained run of a 2-D network, such as "demo/runs/probabilistic_unet"
predictions = None  # folder that probseg predict wrote, for any network
case_id = None  # None for a case on which the raters differ a good deal
structure = None  # a class or group of the label set; None for opacity where there is one, else the first class
draws = 16  # of the run

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.io.predicted import predictions_of
from probseg.io.predicted_distribution import read_distribution
from probseg.manifest import open_dataset
from probseg.report import plots
from probseg.report.gallery import structure_of_interest, worst_plane
from probseg.report.results import Example

plt.rcParams.update(plots.STYLE | {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 100})
PARTS = ("entropy", "epistemic", "ambiguity", "noise")

# %% [markdown]
# ## A case on which raters differ

# %%
data = open_dataset(dataset).require_images()
labels = data.info.labels
structure = structure_of_interest(labels) if structure is None else structure
members = labels.membership(structure)
predicted = {} if predictions is None else predictions_of(predictions, data)
records = [r for r in data.records if case_id in (None, r.case_id) and (not predicted or r.case_id in predicted)]
if not records:
    which = "no case" if case_id is None else f"no case '{case_id}'"
    raise ProbsegError("E_NO_CASES", f"'{data.info.name}' has {which}" + " that was predicted" * bool(predicted))
records = [r for r in records if r.split == "test"] or records


def plane_of(case):
    """The plane on which raters differ most: ``...`` of an image, a slice of a volume."""
    plane = worst_plane(case, labels, structure)
    return (...,) if plane is None else (..., plane, slice(None), slice(None))


def drawn(case):
    """What each rater who looked there drew of the structure, ``(raters, rows, columns)`` booleans."""
    masks, rated = (array[plane_of(case)] for array in case.stacked())
    return ((members[masks] == 1) & rated)[rated.any(axis=(1, 2))]


def disputed(inside):
    """Share of the pixels which anyone drew that not everyone drew."""
    union = inside.any(axis=0)
    return 1 - inside.all(axis=0).sum() / union.sum() if union.any() else 0.0


# A case of fair size that every rater drew and many raters dispute: not the worst one, which is seldom the clearest.
cases = [data.load(r) for r in records[:: -(-len(records) // 40)]]
full = [c for c in cases if len(drawn(c)) > 1 and drawn(c).any(axis=(1, 2)).all()] or cases
size = np.median([drawn(c).any(axis=0).sum() for c in full])
large = [c for c in full if drawn(c).any(axis=0).sum() >= size]
case = sorted(large, key=lambda c: disputed(drawn(c)))[int(0.8 * (len(large) - 1))]

inside = drawn(case)
if len(inside) < 2:
    raise ProbsegError(
        "E_NO_LABELS", f"case '{case.case_id}' has {len(inside)} raters; this notebook needs two or more"
    )
image = data.info.normalise(case.image)
image = image if image.ndim > case.geometry.dimensions else image[None]  # (channels, *space)
image = image[plane_of(case)]


def window(union):
    """The part of the plane to look at: what anybody drew with as much again around it."""
    ends = (
        [(line.min(), line.max()) for line in np.nonzero(union)] if union.any() else [(0, n - 1) for n in union.shape]
    )
    half = max(24, *(high - low for low, high in ends))
    return tuple(slice(max(0, (low + high) // 2 - half), (low + high) // 2 + half) for low, high in ends)


box = window(inside.any(axis=0))
print(f"{data.info.name}, case {case.case_id}, {structure}, {len(inside)} raters")
print(f"{disputed(inside):.0%} of the pixels that anyone drew are disputed")

# %% [markdown]
# ## A distribution over segmentations
#
# Whatever the family, a model's answer is a `SegmentationDistribution` with two axes of draws.
#
# * **models**: draws of the weights (members of an ensemble, dropout masks). Where they differ, the model has not
#   learnt enough.
# * **readings**: plausible label maps under the same weights (latent samples of a probabilistic U-Net). Where they
#   differ, the raters themselves would.
#
# The stand-in has three models, which disagree by a pixel about how large everything is, and a reading from each of
# the masks it may see. Each reading has a soft edge. The last mask is held out.


# %%
def soft(mask, larger_by_pixels=0.0, softness_pixels=0.4):
    """Logits of a mask with a soft edge: the signed distance to its border, in units of the softness."""
    if not mask.any():
        return np.stack([np.full(mask.shape, 8.0), np.zeros(mask.shape)])
    outside, within = distance_transform_edt(~mask), distance_transform_edt(mask)
    distance = np.where(mask, within - 0.5, 0.5 - np.minimum(outside, 50)) + larger_by_pixels
    return np.stack([np.zeros_like(distance), distance / softness_pixels])


seen, held_out = inside[:-1], inside[-1]
logits = [[soft(mask[box], larger_by) for mask in seen] for larger_by in (-1.0, 0.0, 1.0)]
stand_in = SegmentationDistribution(torch.tensor(np.array(logits))[:, :, None])


def example(mean, maps, readings, members):
    """What the plots of a report take: arrays of this case's window."""
    masks = inside[:, *box].astype(np.uint8)
    return Example(case.case_id, image[0][box], masks, np.ones_like(masks, bool), mean, maps, readings, members=members)


def example_of(distribution, where=(slice(None), slice(None)), members=None):
    """Of a distribution of one image."""
    maps = distribution.maps()
    found = {part: getattr(maps, part)[0].numpy()[where] for part in PARTS}
    return example(
        maps.mean[0].numpy()[..., *where], found, distribution.readings()[:, 0].numpy()[..., *where], members
    )


if predictions is not None:
    found = read_distribution(predicted[case.case_id], case.geometry, labels)
    here = (*plane_of(case)[:-2], *box) if case.geometry.dimensions == 3 else (..., *box)
    answer = example(found.mean[here], {part: found.maps[part][here] for part in PARTS}, found.readings[here], members)
    print(f"predictions: {found.num_draws} draws, of which {len(found.readings)} readings are kept")
elif run is not None:
    from probseg.models import load_model

    model = load_model(run)
    with torch.no_grad():
        distribution = model(torch.from_numpy(image)[None], Draws(draws))
    answer = example_of(distribution, box, members)
    print(f"{type(model).__name__}, models: {distribution.num_models}, readings of each: {distribution.num_readings}")
else:
    answer = example_of(stand_in)
    print(f"stand-in, models: {stand_in.num_models}, readings of each: {stand_in.num_readings}")

# %% [markdown]
# ## The four maps
#
# At every pixel, in nats: **entropy = epistemic + ambiguity + noise**.
#
# | map | what it measures | what to do about it |
# |---|---|---|
# | entropy | all doubt about the pixel; between two classes, 0.69 nats is as undecided as a coin | look here first |
# | epistemic | the models disagree | more training data like this case |
# | ambiguity | the readings of one model disagree, as raters do | a second reader; an interval, not a number |
# | noise | indecision left inside one reading, mostly along its edge | finer images, or nothing |
#
# The names say what the axes stand for in the model. That they are what they say is an assumption of the family, not
# measured truth. Of a model with more than two classes, the maps are of all of them together.


# %%
def show_maps(examples, titles):
    """A row of maps for each example, on one scale."""
    top = plots.top_nats(examples, len(examples[0].mean))
    size = (11.5, 2.35 * len(examples))
    figure, grid = plt.subplots(len(examples), 5, figsize=size, squeeze=False, layout="constrained")
    for axes_row, one, title in zip(grid, examples, titles, strict=True):
        plots.mean_probability(one, axes_row[0]).set_title("mean probability")
        for axes, part in zip(axes_row[1:], PARTS, strict=True):
            plots.uncertainty(one, axes, part, top).set_title(part)
        axes_row[0].text(-0.06, 0.5, title, rotation=90, ha="right", va="center", transform=axes_row[0].transAxes)
    figure.colorbar(grid[0, 1].images[0], ax=grid, label="nats", shrink=0.8, pad=0.01)


total = sum(answer.maps[part] for part in PARTS[1:])
np.testing.assert_allclose(answer.maps["entropy"], total, atol=1e-3)
show_maps([answer], ["this case"])
plt.show()

# %% [markdown]
# The bright rim of the entropy is where a pixel may well belong to the structure or not; the three maps beside it add
# up to it, pixel by pixel, so each tells how much of the rim it explains.

# %%
shares = {part: answer.maps[part].sum() / max(total.sum(), 1e-9) for part in PARTS[1:]}
print("of all doubt in this window: " + ", ".join(f"{part} {share:.0%}" for part, share in shares.items()))

# %% [markdown]
# ## Each part on its own
#
# To learn what a part looks like, remove the others from the stand-in. Taking one model leaves nothing epistemic,
# taking one reading leaves no ambiguity, and sharpening the edges removes the noise.

# %%
sharp = SegmentationDistribution(stand_in.logits * 50)
only = {
    "models differ": SegmentationDistribution(sharp.logits[:, :1]),
    "readings differ": SegmentationDistribution(sharp.logits[:1]),
    "soft edge": SegmentationDistribution(stand_in.logits[:1, :1]),
}
show_maps([example_of(d) for d in only.values()], list(only))
plt.show()

# %% [markdown]
# Models that differ show in the epistemic map alone, readings that differ in the ambiguity, a soft edge in the noise.
# A deterministic network has one model and one reading: all of its doubt is noise, whatever the reason. That is why it
# can be well calibrated and still say nothing of what raters would draw.
#
# ## Readings
#
# Maps treat each pixel alone. A *reading* is a whole outline that a rater might have drawn, so it answers questions
# about the whole: how large is it, is it there at all?

# %%
count = min(max(len(answer.readings), len(inside)), 7)
figure, grid = plt.subplots(2, count, figsize=(11.5, 23.5 / count), squeeze=False, layout="constrained")
for axes in grid.flat:
    axes.set_axis_off()
binary = (
    np.isin(answer.readings, labels.members(structure).nonzero()[0])
    if answer.members is not None
    else answer.readings > 0
)
shown = example(answer.mean, answer.maps, binary.astype(np.uint8), None)
for k in range(min(count, len(binary))):
    plots.reading(shown, grid[0, k], k).set_title(f"reading {k + 1}", fontsize=8)
for k in range(min(count, len(inside))):
    last = run is None and predictions is None and k == len(inside) - 1
    plots.rater_mask(shown, grid[1, k], k).set_title(f"rater {k + 1}" + (", held out" if last else ""), fontsize=8)
plt.show()

# %% [markdown]
# Top, outlines of the model; bottom, outlines of the raters: a good model's differ from one another as the raters' do,
# and no two need be alike.

# %%
spacing = case.geometry.spacing
unit, scale = ("mm²", spacing[-1] * spacing[-2]) if spacing else ("pixels", 1.0)
print(f"raters:           {', '.join(f'{a:.0f}' for a in sorted(inside[:, *box].sum(axis=(1, 2)) * scale))} {unit}")
if len(binary):
    low, middle, high = np.percentile(binary.sum(axis=(1, 2)) * scale, [10, 50, 90])
    print(f"model's readings: median {middle:.0f} {unit}, from {low:.0f} to {high:.0f} in 80 % of them")
else:
    print("no readings were kept: probseg predict --readings 8 keeps them")

# %% [markdown]
# The size of a structure with its range comes from whole draws like these, never from thresholding the mean: the
# mean's outline is a compromise that nobody drew.
#
# ## Does the map point at what a rater would change?
#
# A useful map is high where a rater departs from the model's outline. Sort the pixels by entropy, and ask how many of
# those that the last rater would change lie among the most uncertain ones.

# %%
changed = held_out[box] != (answer.foreground > 0.5)
order = np.argsort(-answer.maps["entropy"], axis=None, kind="stable")
found = np.cumsum(changed.ravel()[order]) / max(changed.sum(), 1)
share = np.arange(1, changed.size + 1) / changed.size

figure, axes = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
axes.plot(100 * share, 100 * found, color=plots.ACCENT, label="the most uncertain first")
axes.plot([0, 100], [0, 100], color=plots.MUTED, linestyle="--", linewidth=1, label="chance")
axes.set(xlabel="pixels looked at, %", ylabel="found of what the rater would change, %", xlim=(0, 100), ylim=(0, 102))
axes.legend(frameon=False, fontsize=9, loc="lower right")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The sooner the curve rises above the dashed line of chance, the better the map points at what the rater would change.
# One case shows how it is done; it proves nothing.

# %%
tenth = max(1, int(0.1 * changed.size))
print(f"the rater would change {changed.sum()} pixels; the most uncertain tenth holds {found[tenth - 1]:.0%} of them")

# %% [markdown]
# ## What next
#
# * A structure that the model does not see at all is dark in every map: low uncertainty is no proof of absence.
# * The split depends on the family. One that gives a single reading reports no ambiguity, even where raters disagree
#   most; one with a single set of weights reports nothing epistemic, even on a scan unlike any it has seen.
# * Whether 0.7 means 70 % of raters is *calibration*, and it is measured on many cases: see the notebook
#   `calibration_and_volume_intervals`.
# * A model that comes with the package: `probseg report zoo:lidc-small --notebook reading_an_uncertainty_map`. Four
#   families more: `probseg demo` trains them on the bundled sample, and this notebook takes each of its run folders.
