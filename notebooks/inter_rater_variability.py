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
# agree, where they do not, and which images they disagree about most. A model's agreement with them says little until
# one knows how well they agree with one another.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample
structure = None  # a class or group of the label set; None for opacity where there is one, else the first class
most_cases = None  # look at no more than so many cases, evenly spread over the dataset; None for all
samples = 1000  # bootstrap samples behind each interval

# %%
# %matplotlib inline
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from probseg.analysis import analyse, rater_entropy
from probseg.manifest import open_dataset
from probseg.report import plots
from probseg.report.gallery import outlines, structure_of_interest, worst_plane

plt.rcParams.update(plots.STYLE | {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 100})

data = open_dataset(dataset)
if most_cases is not None and most_cases < len(data):
    data = replace(data, records=data.records[:: -(-len(data) // most_cases)])
labels = data.info.labels
structure = structure_of_interest(labels) if structure is None else structure
members = labels.membership(structure)
report = analyse(data, samples=samples)
records = {record.case_id: record for record in data.records}

# %% [markdown]
# ## The figures at a glance
#
# Each is a mean over cases, of which n could be measured; in brackets the 95 % interval from a bootstrap over
# *patients*, because images of one patient resemble each other. Surface distances are of pairs in which both drew.


# %%
def show(name, interval, scale=1.0, digits=3, unit=""):
    """One line: the figure, its interval and the number of cases behind it."""
    if not np.isfinite(interval.value):
        print(f"{name:<48}undefined here")
        return
    value, low, high = (f"{scale * x:.{digits}f}" for x in (interval.value, interval.low, interval.high))
    between = f"({low} to {high})" if np.isfinite(interval.low) else "(one patient has no interval)"
    print(f"{name:<48}{value}{unit}  {between}  n = {interval.n}")


chosen = next(s for s in report.structures if s.structure == structure)
votes = next(v for v in report.votes if v.structure == structure)
patients = len({c.patient_id for c in report.cases})
print(f"{data.info.name}: {len(report.cases)} cases of {patients} patients; structure: {structure}\n")
show("Dice of two raters", chosen.dice)
show("IoU of two raters", chosen.iou)
show("surface distance, mean", chosen.surface_distance_mean_mm, digits=2, unit=" mm")
show("surface distance, 95th percentile", chosen.surface_distance_95_mm, digits=2, unit=" mm")
show("drawn voxels on which all raters agree", votes.complete_agreement, scale=100, digits=1, unit=" %")
show("entropy of their vote, in all that was drawn", votes.rater_entropy, unit=" nats")
print(f"\n{chosen.pairs} pairs of masks; in {chosen.one_empty} one rater drew nothing, in {chosen.both_empty} both.")

# %% [markdown]
# ## The images with every rater's contour

# %%
# Per case: the mean Dice of its pairs of masks, and how many masks are empty.
k = labels.structures.index(structure)
dice, nothing = {}, {}
for case in report.cases:
    known = [p.dice for p in case.pairs if p.structure == structure and not np.isnan(p.dice)]
    if known:
        dice[case.case_id] = float(np.mean(known))
        nothing[case.case_id] = sum(sizes[k] == 0 for sizes in case.sizes_voxels.values())
order = sorted(dice, key=dice.__getitem__)


def drawn_on(case):
    """On the plane where raters differ most: what each drew of the structure, where each looked, and which plane."""
    masks, rated = case.stacked()
    plane = worst_plane(case, labels, structure)
    if plane is not None:
        masks, rated = masks[:, plane], rated[:, plane]
    return (members[masks] == 1) & rated, rated, plane


def close_up(axes, inside):
    """Show what anybody drew with as much again around it."""
    anybody = inside.any(axis=0)
    if anybody.any():
        (top, bottom), (first, last) = ((line.min(), line.max()) for line in np.nonzero(anybody))
        half = min(max(12, bottom - top, last - first), min(anybody.shape) / 2)
        # At a border the window is moved and not cut, so that all are square.
        y, x = (
            min(max(middle, half - 0.5), n - 0.5 - half)
            for middle, n in zip(((top + bottom) / 2, (first + last) / 2), anybody.shape, strict=True)
        )
        axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half))


def contours(axes, case_id):
    """A close-up of one case with a contour a rater."""
    case = data.load(records[case_id])
    inside, _, plane = drawn_on(case)
    outlines(case, axes, data.info, structure, plane)
    close_up(axes, inside)
    empty = f", {nothing[case_id]} empty" if nothing[case_id] else ""
    axes.set_title(f"{case_id}\nDice {dice[case_id]:.2f}{empty}", fontsize=8)


picked = [order[i] for i in np.unique(np.linspace(0, len(order) - 1, 8).astype(int))]
columns = min(4, len(picked))
figure, grid = plt.subplots(-(-len(picked) // columns), columns, figsize=(10, 5.6), squeeze=False, layout="constrained")
for axes in grid.flat:
    axes.set_axis_off()
for axes, case_id in zip(grid.flat, picked, strict=False):
    contours(axes, case_id)
plt.show()

# %% [markdown]
# Cases in order of agreement, from the least to the most, each as a close-up with one colour a rater; a mask with
# nothing in it has no contour, and the title counts those. Look for two kinds: a rim that each draws elsewhere, and a
# structure that some did not draw at all.
#
# ## How agreement is distributed

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
bins = np.linspace(0, 1, 21)
values, some_empty = np.array([dice[c] for c in order]), np.array([nothing[c] > 0 for c in order])
colours, names = [plots.ACCENT, plots.CLASS_COLOURS[5]], ["every rater drew it", "some rater drew nothing"]
parts = [values[~some_empty], values[some_empty]]
kinds = [k for k in range(2) if len(parts[k])]
left.hist(
    [parts[k] for k in kinds], bins, stacked=True, color=[colours[k] for k in kinds], label=[names[k] for k in kinds]
)
left.axvline(values.mean(), color=plots.INK, lw=1, ls="--", label=f"mean {values.mean():.2f}")
left.set(xlabel=f"mean Dice of a case's pairs, {structure}", ylabel="cases", xlim=(0, 1))
agreement = np.array([case.complete_agreement for case in report.cases])
agreement = agreement[~np.isnan(agreement)]
right.hist(agreement, bins, color=plots.MUTED)
median = np.median(agreement)
right.axvline(median, color=plots.INK, lw=1, ls="--", label=f"median {median:.2f}")
right.set(xlabel="share of drawn voxels on which all agree, any class", ylabel="cases", xlim=(0, 1))
for axes in (left, right):
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
plt.show()

# %% [markdown]
# A mean may hide two kinds of case: those on which raters differ by a rim, and those on which some drew what others did
# not. Cases of the second kind, if there are any, are orange and pull the mean down, because a pair with one empty mask
# has a Dice of 0.

# %%
for part, name in zip(parts, names, strict=True):
    if len(part):
        print(f"{name:<26}{len(part):>5} cases, mean Dice {part.mean():.2f}")

# %% [markdown]
#
# ## Agreement against size

# %%
figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
plots.agreement_by_size(report.study, axes, structure)
plt.show()

# %% [markdown]
# A point a case; the line, drawn from 24 cases on, goes through the medians of neighbours in size. On small structures
# raters mostly agree less whatever their care, for a rim one voxel wide is most of a small structure and little of a
# large one, and small ones are more easily not drawn at all: that is a second cloud, further down. So compare cases of
# similar size, or distances in mm, before calling one group of raters better.
#
# ## Where they differ: the entropy of the vote

# %%
some = picked[:: -(-len(picked) // 4)]
figure, grid = plt.subplots(3, len(some), figsize=(2.5 * len(some) + 0.8, 7.4), squeeze=False, layout="constrained")
for column, case_id in enumerate(some):
    inside, rated, _ = drawn_on(data.load(records[case_id]))
    contours(grid[0, column], case_id)
    votes = inside.sum(axis=0) / np.maximum(rated.sum(axis=0), 1)
    share = grid[1, column].imshow(votes, cmap=plots.PROBABILITY, vmin=0, vmax=1)
    entropy = rater_entropy(inside.astype(np.uint8), 2, rated)
    nats = grid[2, column].imshow(entropy, cmap=plots.UNCERTAINTY, vmin=0, vmax=np.log(2))
    for axes in grid[1:, column]:
        close_up(axes, inside)
        axes.set_axis_off()
figure.colorbar(share, ax=grid[1, :], label="share of raters", shrink=0.9)
figure.colorbar(nats, ax=grid[2, :], label="entropy, nats", shrink=0.9)
plt.show()

# %% [markdown]
# Top, the contours; middle, the share of raters who drew the structure; bottom, the entropy of their vote, 0 where all
# agree and 0.69 nats where they are split evenly. A bright rim is a difference of extent, a bright filled shape is
# something that some saw and others did not. A good model's *ambiguity* should look like the bottom row.
#
# The same in numbers. Where the tissue around a finding is drawn as well, such as the lung around an opacity, both
# raters drew something at its rim, and the rim counts as *class*.

# %%
kinds = chosen.disagreement
print(f"Of the voxels on which two raters differ in {structure}:")
show("  extent: how far the same finding reaches", kinds.extent_share, scale=100, digits=0, unit=" %")
show("  presence: a finding that one did not draw", kinds.presence_share, scale=100, digits=0, unit=" %")
show("  class: both drew, and another class each", kinds.class_share, scale=100, digits=0, unit=" %")

# %% [markdown]
# ## Single raters
#
# Who differs from whom may be asked only where a name is the same person in every case.

# %%
if report.study.refused:
    print(report.study.refused)
else:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    plots.pair_heat_map(report.study, left, structure)
    if "volume_ml" in report.study.volumes.measures():
        plots.volumes_by_rater(report.study, right, structure)
    else:
        right.text(0.5, 0.5, "volumes are unknown: no voxel size", ha="center")
        right.set_axis_off()
    plt.show()

# %% [markdown]
# Where raters are persons, two pictures stand above: the mean Dice of every two of them, and the volumes that each
# drew, a thin line a case and a thick one through the geometric means. A step up in the thick line is a rater who draws
# more than the others.
#
# ## In short

# %%
if chosen.pairs and order:
    print(f"Two raters overlap with a mean Dice of {chosen.dice.value:.2f} on {structure}.")
    print(f"In {some_empty.sum()} of {len(order)} cases some rater drew nothing and another did.")
    first = ", ".join(f"{c} ({dice[c]:.2f})" for c in order[:5])
    print(f"To talk over first, the least agreed with their Dice: {first}.")

# %% [markdown]
# ## What next
#
# - Report agreement with its interval and with the number of empty masks; a mean of Dice alone says little.
# - Talk over those cases: often these are no careless masks, but open questions, and there a single ground truth would
#   mislead a model.
# - `probseg agreement DATASET --out DIR` writes every pair, case and volume behind these pictures as CSV.
# - Next notebook: `from_raters_to_a_distribution`, which trains a model on this spread.
