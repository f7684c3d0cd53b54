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
# # How far do raters differ?
#
# Several people segmented the same images. Before any model is trained on their masks, this notebook asks how well they
# agree, where they do not, and which images they disagree about most. No model should be expected to agree with them
# better than they agree with one another.
#
# The figures are those of `probseg agreement`; each is defined in `probseg.analysis`.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample
structure = None  # a class or group of the label set; None takes the first foreground class

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex

from probseg.analysis import analyse, rater_entropy
from probseg.case import Case
from probseg.manifest import open_dataset

plt.rcParams.update({"figure.dpi": 100, "axes.spines.top": False, "axes.spines.right": False, "font.size": 10})

data = open_dataset(dataset)
labels = data.info.labels
structure = labels.structures[0] if structure is None else structure
inside = labels.membership(structure) == 1
report = analyse(data)
records = {record.case_id: record for record in data.records}

# %% [markdown]
# ## The figures at a glance
#
# Each is a mean over cases; in brackets the 95 % interval from a bootstrap over *patients*, because images of one
# patient resemble each other.


# %%
def show(name, interval, scale=1.0, digits=3, unit=""):
    """One line: the figure, its interval and the number of cases behind it."""
    if interval.n == 0:
        print(f"{name:<42}undefined here")
        return
    value, low, high = (f"{scale * x:.{digits}f}" for x in (interval.value, interval.low, interval.high))
    print(f"{name:<42}{value}{unit}  ({low} to {high})  n = {interval.n}")


chosen = next(s for s in report.structures if s.structure == structure)
patients = len({c.patient_id for c in report.cases})
print(f"{data.info.name}: {len(report.cases)} cases of {patients} patients; structure: {structure}\n")
show("Dice of two raters", chosen.dice)
show("IoU of two raters", chosen.iou)
show("surface distance, mean", chosen.surface_distance_mean_mm, digits=2, unit=" mm")
show("surface distance, 95th percentile", chosen.surface_distance_95_mm, digits=2, unit=" mm")
show("voxels on which all raters agree", report.complete_agreement, scale=100, digits=1, unit=" %")
show("entropy of their vote", report.rater_entropy, unit=" nats")
print(f"\n{chosen.pairs} pairs of masks; in {chosen.one_empty} one rater drew nothing, in {chosen.both_empty} both.")

# %% [markdown]
# ## The images with every rater's contour
#
# Nine cases in order of agreement, from the tenth worst percent to the best. A rater who drew nothing has no contour;
# the title counts them. Each picture is a close-up of what was drawn.

# %%
# One row a case: the mean Dice of its pairs, the mean size of its masks, and how many of them are empty.
k = labels.structures.index(structure)
table = []
for c in report.cases:
    dice = [p.dice for p in c.pairs if p.structure == structure and not np.isnan(p.dice)]
    sizes = np.array([c.sizes_voxels[r][k] for r in c.raters])
    if dice:
        size = np.nanmean(sizes) if np.isfinite(sizes).any() else np.nan
        table.append((c.case_id, np.mean(dice), size, c.voxel_volume_ml, int((sizes == 0).sum())))
case_ids = np.array([row[0] for row in table])
dice, sizes, voxel_ml, empty = (np.array([row[j] for row in table], dtype=float) for j in range(1, 5))
order = np.argsort(dice, kind="stable")


def colours(n):
    """One colour a rater, far apart and readable on grey."""
    return [to_hex(c) for c in plt.get_cmap("Set1" if n <= 9 else "tab20")(np.arange(n))]


def plane(case: Case):
    """Image, masks and rated of one plane: the image itself, or the slice of a volume with the most drawn on it."""
    masks, rated = case.stacked()
    image = case.image.reshape(-1, *case.geometry.shape)[0]
    if case.geometry.dimensions == 3:
        drawn = (inside[masks] & rated).sum(axis=(0, 2, 3))
        z = int(drawn.argmax())
        image, masks, rated = image[z], masks[:, z], rated[:, z]
    return data.info.normalise(image), masks, rated


def close_up(axes, masks, rated):
    """Show what was drawn with as much again around it; everything when nothing was drawn."""
    drawn = (inside[masks] & rated).any(axis=0)
    if drawn.any():
        (top, bottom), (first, last) = ((line.min(), line.max()) for line in np.nonzero(drawn))
        half = max(12, bottom - top, last - first)
        y, x = (top + bottom) / 2, (first + last) / 2
        axes.set_xlim(max(-0.5, x - half), min(drawn.shape[1] - 0.5, x + half))
        axes.set_ylim(min(drawn.shape[0] - 0.5, y + half), max(-0.5, y - half))


def contours(axes, case_id, title):
    """An image with the outline of each rater's mask."""
    image, masks, rated = plane(data.load(records[case_id]))
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    for mask, looked, colour in zip(masks, rated, colours(len(masks)), strict=True):
        drawn = inside[mask] & looked
        if drawn.any() and not drawn.all():
            axes.contour(drawn, levels=[0.5], colors=[colour], linewidths=1.4)
    close_up(axes, masks, rated)
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def caption(case_id):
    """Dice, and how many raters drew nothing."""
    j = int(np.flatnonzero(case_ids == case_id)[0])
    missing = f", {int(empty[j])} drew nothing" if empty[j] else ""
    return f"{case_id}\nDice {dice[j]:.2f}{missing}"


picked = case_ids[order[np.unique(np.linspace(0.1 * (len(order) - 1), len(order) - 1, 9).astype(int))]]
figure, grid = plt.subplots(3, 3, figsize=(9, 10), layout="constrained")
for axes in grid.flat:
    axes.axis("off")
for axes, case_id in zip(grid.flat, picked, strict=False):
    contours(axes, case_id, caption(case_id))
figure.suptitle(f"{structure}: one contour a rater, from little agreement to much")
plt.show()

# %% [markdown]
# ## How agreement is distributed
#
# A mean hides two kinds of case: those on which raters differ by a rim, and those on which some saw something that
# others did not. The second kind pulls the mean of Dice down through pairs with one empty mask, whose Dice is 0.

# %%
agreement = np.array([c.complete_agreement for c in report.cases])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
bins = np.linspace(0, 1, 26)
left.hist([dice[empty == 0], dice[empty > 0]], bins, stacked=True, color=["#3b7dd8", "#e4572e"])
names = ["every rater drew it", "some rater drew nothing"]
left.legend(names, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
left.axvline(dice.mean(), color="k", lw=1, ls="--")
left.annotate(
    f"mean {dice.mean():.2f}", (dice.mean(), 0.6), xycoords=("data", "axes fraction"), ha="right", rotation=90
)
left.set(xlabel=f"mean Dice of the raters' pairs, {structure}", ylabel="cases", xlim=(0, 1))
known = agreement[~np.isnan(agreement)]
right.hist(known, bins, color="#7a9e7e")
right.axvline(np.median(known), color="k", lw=1, ls="--")
right.annotate(f"median {np.median(known):.2f}", (np.median(known), 0.95), xycoords=("data", "axes fraction"))
right.set(xlabel="share of drawn voxels on which all raters agree", ylabel="cases", xlim=(0, 1))
plt.show()

# %% [markdown]
# ## Agreement against size
#
# A rim one voxel wide is most of a small structure and little of a large one, so overlap rises with size whatever the
# care of the raters. Compare cases of similar size, or distances in mm, before calling one group of raters better.

# %%
volume = sizes * voxel_ml
unit = "mL" if np.isfinite(volume).any() else "voxels"
extent = volume if unit == "mL" else sizes
usable = np.isfinite(extent) & (extent > 0)
figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for some, colour, text in ((False, "#3b7dd8", "every rater drew it"), (True, "#e4572e", "some rater drew nothing")):
    group = usable & ((empty > 0) == some)
    axes.scatter(extent[group], dice[group], s=12, color=colour, alpha=0.5, lw=0, label=text)
# The median of each eighth of the cases.
parts = np.array_split(np.flatnonzero(usable)[np.argsort(extent[usable], kind="stable")], 8)
parts = [part for part in parts if len(part)]
middle = [np.exp(np.log(extent[part]).mean()) for part in parts]
axes.plot(middle, [np.median(dice[part]) for part in parts], "k-o", ms=4, label="median of an eighth of the cases")
axes.set(xscale="log", ylim=(0, 1), xlabel=f"mean size of the raters' masks, {unit}", ylabel="mean Dice of pairs")
axes.legend(frameon=False, loc="lower right")
plt.show()
small, large = np.median(dice[parts[0]]), np.median(dice[parts[-1]])
print(f"Median Dice is {small:.2f} in the smallest eighth of the cases and {large:.2f} in the largest.")

# %% [markdown]
# ## Where they differ: the entropy of the vote
#
# At each voxel the raters vote; the entropy of their vote is 0 where all agree and highest where they are split evenly
# (0.69 nats between two classes). Bright rims are differences of extent; a bright filled shape is a structure that
# some saw and others did not. This map is what a good model's *ambiguity* should look like.

# %%
figure, grid = plt.subplots(3, 4, figsize=(10, 8.2), layout="constrained")
shown, highest = None, np.log(max(2, min(labels.num_classes, len(report.cases[0].raters))))
for axes in grid.flat:
    axes.axis("off")
for column, case_id in enumerate(picked[[0, len(picked) // 3, 2 * len(picked) // 3, len(picked) - 1]]):
    image, masks, rated = plane(data.load(records[case_id]))
    contours(grid[0, column], case_id, caption(case_id))
    share = (inside[masks] & rated).sum(axis=0) / np.maximum(rated.sum(axis=0), 1)
    grid[1, column].imshow(share, cmap="viridis", vmin=0, vmax=1)
    entropy = rater_entropy(masks, labels.num_classes, rated)
    shown = grid[2, column].imshow(entropy, cmap="magma", vmin=0, vmax=highest)
    for axes in grid[1:, column]:
        close_up(axes, masks, rated)
for row, text in enumerate(("contours", f"share that drew {structure}", "entropy, nats")):
    grid[row, 0].text(-0.06, 0.5, text, rotation=90, va="center", ha="right", transform=grid[row, 0].transAxes)
figure.colorbar(shown, ax=grid[2, :], shrink=0.8)
plt.show()

# %% [markdown]
# ## The cases to look at first
#
# The eight with the least agreement, largest first among equals. Often these are not careless masks but open questions:
# is this the structure at all, or something beside it? They are the cases worth a discussion, and those on which a
# single ground truth would mislead a model.

# %%
worst = sorted(range(len(case_ids)), key=lambda j: (round(dice[j], 2), -sizes[j] if np.isfinite(sizes[j]) else 0.0))[:8]
figure, grid = plt.subplots(2, 4, figsize=(10, 5.8), layout="constrained")
for axes in grid.flat:
    axes.axis("off")
for axes, j in zip(grid.flat, worst, strict=False):
    contours(axes, case_ids[j], caption(case_ids[j]))
plt.show()

# %% [markdown]
# ## Single raters
#
# Who differs from whom may be asked only where a name is the same person in every case.

# %%
if data.info.stable_raters:
    rows = [r for r in report.raters if r.structure == structure]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 0.6 + 0.35 * len(rows)), layout="constrained", sharey=True)
    for axes, key, text in (
        (left, "dice", "mean Dice to the other raters"),
        (right, "volume_log_ratio", "log of size over the others' geometric mean"),
    ):
        found = [getattr(r, key) for r in rows]
        value, low, high = (np.array([getattr(i, end) for i in found]) for end in ("value", "low", "high"))
        axes.errorbar(value, range(len(rows)), xerr=np.abs([value - low, high - value]), fmt="o", color="k", capsize=2)
        axes.set(xlabel=text, yticks=range(len(rows)), yticklabels=[r.rater for r in rows])
    right.axvline(0, color="grey", lw=1, ls="--")
    plt.show()
else:
    print(f"{data.info.name}: a mask's position is no person, so there is nothing to say of single raters.")

# %% [markdown]
# ## What to take along
#
# - Report agreement with its interval and with the number of empty masks; a mean of Dice alone says little.
# - A model is measured against this spread, not against one of the masks: see the energy distance and its floor in the
#   report of `probseg demo`.
# - `probseg agreement DATASET --out DIR` writes every pair, case and volume behind these pictures as CSV.

# %%
if data.info.note:
    print(data.info.note)
