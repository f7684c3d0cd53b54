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
# # Calibration and volume intervals
#
# Two promises that a model makes, and how to hold it to them. *Where it says 70 %, do 70 % of raters agree? When it
# says 2 to 3 mL, how often does a rater measure a volume between?* Both can be measured, and both can be mended on
# patients set aside for it.
#
# Give it what `probseg predict --split calibration test` wrote. Without predictions, all raters but one stand in for a
# model: their masks, a little larger and smaller and with soft edges, are its draws, and the rater left out judges it.

# %% tags=["parameters"]
dataset = "lidc-sample"  # a dataset folder, an NPZ stack, or the bundled lidc-sample
predictions = None  # folder that probseg predict wrote of its cases
structure = None  # a class or group of the label set; None for opacity where there is one, else the first class
level = 0.9  # share of raters that the widened interval is to hold
most_cases = None  # cases of each split, evenly spread; None for all
samples = 1000  # bootstrap samples behind each interval

# %%
# %matplotlib inline
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import distance_transform_edt

from probseg.analysis import VolumeStructures, fit_conformal, interval_coverage, volume_intervals
from probseg.analysis.calibration import (
    calibration_counts,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_curve,
)
from probseg.analysis.region import union_region
from probseg.errors import ProbsegError
from probseg.io.predicted import predictions_of
from probseg.io.predicted_distribution import read_distribution
from probseg.manifest import open_dataset
from probseg.report import plots
from probseg.report.gallery import structure_of_interest
from probseg.report.results import Estimate, Reliability, RunResult
from probseg.report.volume_points import VolumePoints

plt.rcParams.update(plots.STYLE | {"font.size": 10, "axes.titlesize": 10, "figure.dpi": 100})
data = open_dataset(dataset)
labels = data.info.labels
structure = structure_of_interest(labels) if structure is None else structure
members, column = labels.membership(structure), labels.structures.index(structure)
predicted = None if predictions is None else predictions_of(predictions, data)

# %% [markdown]
# ## What is compared
#
# Of each case two things are kept: for the voxels near the structure the stated probability and what raters say there,
# and the volume of every draw beside those that the raters measured.


# %%
@dataclass
class Judged:
    """One case: probability and drawn share near the structure, volumes of draws and of raters, the patient."""

    case_id: str
    patient: str
    probability: np.ndarray  # (2, voxels): of the rest and of the structure
    masks: np.ndarray  # (raters, voxels)
    rated: np.ndarray  # (raters, voxels)
    draws_ml: np.ndarray  # (draws,)
    raters_ml: np.ndarray  # (raters,)
    voxel_ml: float


def soft(mask, spacing, larger_mm, softness_mm=0.15):
    """Probability of a mask with a soft edge, moved outward: the logistic function of the distance to its border."""
    if not mask.any():
        return np.zeros(mask.shape)
    half = 0.5 * min(spacing[-2:])
    outside, within = distance_transform_edt(~mask, spacing), distance_transform_edt(mask, spacing)
    distance = np.where(mask, within - half, half - outside) + larger_mm
    return 1 / (1 + np.exp(-np.clip(distance / softness_mm, -40, 40)))


def judged(record):
    """A case of the dataset with the model's answer; None where there is nobody to judge it."""
    case = data.load(record)
    masks, rated = case.stacked()
    here = rated.reshape(len(rated), -1).any(axis=1)
    masks, rated = masks[here], rated[here]
    inside, known = members[masks] == 1, rated & (members[masks] != -1)
    volumes = VolumeStructures.of(labels).of_raters(masks, rated, case.geometry.voxel_volume_ml)[:, column]
    spacing = case.geometry.spacing or (1.0,) * case.geometry.dimensions
    if predicted is not None:
        found = read_distribution(predicted[case.case_id], case.geometry, labels)
        share, draws_ml = found.mean[labels.members(structure)].sum(axis=0), found.draws_ml[:, column]
    else:
        whole = np.isfinite(volumes) | np.isnan(case.geometry.voxel_volume_ml)
        if whole.sum() < 3:
            return None
        inside, known, volumes = inside[whole], known[whole], volumes[whole]
        draws = [soft(mask, spacing, by) for mask in inside[:-1] for by in (-0.15, 0.0, 0.15)]
        share = np.mean(draws, axis=0)
        draws_ml = np.array([d.sum() for d in draws]) * case.geometry.voxel_volume_ml
        inside, known, volumes = inside[-1:], known[-1:], volumes[-1:]
    region = union_region(inside.astype(np.uint8), (share > 0.5).astype(np.uint8), 2, known, case.geometry.spacing)
    near = np.flatnonzero(region)
    near = near[:: max(1, len(near) // 20_000)]
    p = np.clip(share.ravel()[near].astype(float), 1e-6, 1 - 1e-6)
    flat = (a.reshape(len(inside), -1)[:, near] for a in (inside.astype(np.uint8), known))
    return Judged(
        record.case_id, record.patient_id, np.stack([1 - p, p]), *flat, draws_ml, volumes, case.geometry.voxel_volume_ml
    )


def judged_of(split):
    """The cases of a split that were predicted."""
    records = [r for r in data.records if r.split == split and (predicted is None or r.case_id in predicted)]
    if most_cases is not None:
        records = records[:: max(1, -(-len(records) // most_cases))]
    return [j for j in map(judged, records) if j is not None]


tests, held_back = judged_of("test"), judged_of("calibration")
if not tests:
    raise ProbsegError(
        "E_NO_CASES", f"no test case of '{data.info.name}' was predicted, or none has three raters who read it whole"
    )
for name, cases in (("calibration", held_back), ("test", tests)):
    print(f"{name:<13}cases: {len(cases):>4}, patients: {len({j.patient for j in cases}):>4}")
count = len(tests[0].draws_ml)
who = "the rater left out" if predicted is None else "all raters"
print(f"{structure}: {count} draws a case, judged by {who}")

# %% [markdown]
# ## Where it says 70 %, do 70 % of raters agree?
#
# Every rater at every voxel near the structure is one trial. A *temperature* T above 1 makes every probability less
# sure, below 1 surer; it is chosen on the calibration patients, and what it is worth shows on the test patients.


# %%
def softened(p, temperature):
    """Probabilities ``(classes, voxels)`` raised to 1/T and made to sum to 1."""
    powers = p ** (1 / temperature)
    return powers / powers.sum(axis=0)


def counts(cases, temperature):
    """Bins of stated probability over the cases: summed probability, hits, trials."""
    each = (calibration_counts(softened(j.probability, temperature), j.masks, j.rated) for j in cases)
    return sum(each)


def surprise(cases, temperature):
    """Mean negative log-likelihood of the cases, nats a rater and voxel."""
    each = [
        negative_log_likelihood(
            softened(j.probability, temperature), j.masks, np.ones(j.masks.shape[1:], bool), j.rated
        )
        for j in cases
    ]
    return np.nanmean(each)


temperatures = np.geomspace(0.4, 4, 24)
chosen = min(temperatures, key=lambda t: surprise(held_back, t)) if held_back else 1.0


def curve(table):
    """The bins that hold trials, as the plot takes them."""
    confidence, frequency, trials = reliability_curve(table)
    known = trials > 0
    return Reliability(confidence[known], frequency[known], trials[known])


before, after = counts(tests, 1.0), counts(tests, chosen)
result = RunResult(Path(data.info.name), "model", {}, {}, reliability=curve(after), reliability_before=curve(before))
figure, axes = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
lowest = min(c.frequency.min() for c in (result.reliability, result.reliability_before))
plots.reliability(result, axes, start=min(0.5, float(np.floor(10 * lowest) / 10)))
axes.set(xlabel="stated probability", ylabel="share of raters who agree")
plt.show()

# %% [markdown]
# Grey is the model as it is, blue with the temperature; a point below the dashed line says that raters agree less often
# than stated, and the size of a blue one how many trials are behind it.

# %%
if held_back:
    print(f"temperature chosen on the calibration patients: {chosen:.2f}")
else:
    print("no calibration case was predicted, so no temperature could be chosen and nothing is changed")
for name, table, t in (("as it is", before, 1.0), ("with temperature", after, chosen)):
    error = float(expected_calibration_error(table))
    print(f"{name:<18}calibration error {error:.3f}, negative log-likelihood {surprise(tests, t):.3f} nats")

# %% [markdown]
# `probseg calibrate RUN` fits such a temperature to the logits of every draw, so that maps, readings and volumes
# follow; here only the mean was changed.
#
# ## When it says 2 to 3 mL, how often is a rater between?
#
# An interval of volumes comes from the volumes of whole draws. If a rater is one more draw, a stated interval of 80 %
# holds 80 % of raters; fewer draws cannot give wide intervals, and a model that is too sure gives narrow ones.


# %%
def ends(cases, percent):
    """The model's interval of each case, ``(cases, 2)`` mL."""
    return np.array([volume_intervals(j.draws_ml, [percent], j.voxel_ml)[0] for j in cases])


def points(cases, intervals):
    """Predicted volumes with intervals beside the raters', as the plot takes them."""
    rows = [
        (
            j.case_id,
            j.draws_ml.mean(),
            low,
            high,
            np.nanmean(j.raters_ml),
            np.nanmin(j.raters_ml),
            np.nanmax(j.raters_ml),
        )
        for j, (low, high) in zip(cases, intervals, strict=True)
        if np.isfinite(j.raters_ml).any()
    ]
    ids, *columns = zip(*rows, strict=True)
    return VolumePoints(structure, ids, *(np.array(c) for c in columns))


def coverage(cases, intervals):
    """Share of raters' volumes inside, with its interval over patients."""
    return interval_coverage(intervals, [j.raters_ml for j in cases], [j.patient for j in cases], samples)


def held(c):
    """The share as words; of one patient there is no interval."""
    between = "" if np.isnan(c.held.low) else f" ({c.held.low:.0%} to {c.held.high:.0%})"
    return f"held {c.held.value:.0%}{between}, mean width {c.width_ml:.{0 if c.width_ml >= 100 else 3}f} mL"


tests = [j for j in tests if np.isfinite(j.voxel_ml) and np.isfinite(j.raters_ml).any()]
held_back = [j for j in held_back if np.isfinite(j.voxel_ml) and np.isfinite(j.raters_ml).any()]
if count < 2:
    raise ProbsegError(
        "E_ARGUMENT", f"of each case of '{data.info.name}' there is one draw; an interval needs two or more"
    )
if not tests:
    raise ProbsegError(
        "E_NO_CASES",
        f"no test case of '{data.info.name}' has a voxel size and was read whole by {who}; volumes need both",
    )
stated = {percent: coverage(tests, ends(tests, percent)) for percent in (50, 80, 95)}
figures = {f"coverage_{p}": Estimate(c.held.value, c.held.low, c.held.high, c.held.n) for p, c in stated.items()}
figure, axes = plt.subplots(figsize=(4.4, 4.2), layout="constrained")
plots.coverage(RunResult(Path(data.info.name), "model", figures, {}), axes)
plt.show()

# %% [markdown]
# A point on the dashed line holds what it states; below it the interval is too narrow. Bars are 95 % intervals over
# patients.

# %%
for percent, c in stated.items():
    print(f"stated {percent} %: {held(c)}")
most = (count - 1) / (count + 1)
print(f"what lies between {count} draws holds {most:.0%} of raters at most; whole voxels widen it a little")

# %% [markdown]
# ## A promise for new patients
#
# Split-conformal widening measures on the calibration patients by how much raters fall outside, and moves both ends
# until the promise holds, whatever the model. Patients are the trials, for a patient's raters resemble one another.

# %%
percent = round(100 * min(level, most))  # no wider than the draws allow
own = ends(tests, percent)
fitted = fit_conformal(
    ends(held_back, percent), [j.raters_ml for j in held_back], [j.patient for j in held_back], level
)
wide = fitted.widen(own)
promised = bool(np.isfinite(wide).all())
pictures = [(own, f"as the model states {percent} %")] + [(wide, f"widened for {level:.0%}")] * promised
figure, grid = plt.subplots(1, len(pictures), figsize=(5.2 * len(pictures), 4.6), squeeze=False, layout="constrained")
for axes, (intervals, title) in zip(grid[0], pictures, strict=True):
    found = points(tests, intervals)
    plots.volume_agreement(found, axes)
    axes.set_ylabel("predicted, mL", color=plots.MUTED)
    axes.get_legend().set_loc("lower right")
    axes.set_title(f"{title}: {found.held} of {len(found.case_ids)} held", loc="left", fontsize=10)
plt.show()

# %% [markdown]
# A point is a test case: upright the interval, along the range of what raters measured, where several judge. An
# interval that crosses the dashed line holds the raters' mean; the titles count those. The right picture has the
# widened intervals, where there are calibration patients enough. Below every rater counts, and one patient as much as
# another.

# %%
if promised:
    for name, intervals in ((f"the model's {percent} %", own), (f"widened for {level:.0%}", wide)):
        print(f"{name:<20}{held(coverage(tests, intervals))}")
    print(f"calibration patients: {fitted.patients}")
else:
    print(f"calibration patients: {fitted.patients}, too few to promise {level:.0%}; the honest interval is infinite")

# %% [markdown]
# ## What next
#
# - `probseg calibrate RUN` fits the temperature, and `probseg evaluate PREDICTIONS DATASET --out DIR` measures all of
#   this with every class and group, and fits the widening that `probseg predict` then uses.
# - Ask for 100 draws where volumes matter: 39 are the fewest whose interval can hold 95 % of raters.
# - The promise is for a rater picked at random from a new patient *of the same kind*: another hospital is another kind.
