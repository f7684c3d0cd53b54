"""A second hospital out of the first: LIDC crops as they are and blurred, with noise, as one dataset of two sites.

    python experiments/shift/blur.py data/lidc_128 sharp_and_blurred

Takes a few crops of some patients that the model was not trained on. Patients keep their split, so the same patients
are tested at both sites, and none of those whom a model is adapted with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import ndimage

TAKEN = {"calibration": (16, 3), "test": (100, 1)}  # patients, and crops of each; those for training stay out
SIGMA = 1.5  # pixels of the Gaussian that blurs
NOISE = 12.0  # standard deviation of the noise that is added then, grey levels of 255
SEED = 0


def chosen(patients: NDArray, splits: NDArray, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of the crops to take, rising."""
    found: list[int] = []
    for split, (count, crops_each) in TAKEN.items():
        names = np.unique(patients[splits == split])
        for name in rng.permutation(names)[:count]:
            crops = np.flatnonzero(patients == name)
            found += rng.permutation(crops)[:crops_each].tolist()
    return np.sort(np.array(found))


def shifted(images: NDArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """``(n, rows, columns)`` of 0..255, each blurred in its plane, then with white noise."""
    blurred = ndimage.gaussian_filter(images.astype(np.float32), (0, SIGMA, SIGMA), mode="nearest")
    noisy = blurred + NOISE * rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="dataset folder of experiments/lidc/build.py; only read")
    parser.add_argument("target", type=Path, help="dataset folder to make")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    with np.load(arguments.source / "lidc_128.npz") as archive:
        positions = chosen(archive["patient"], archive["split"], rng)
        once = {name: archive[name][positions] for name in archive.files}
    names = [f"{p}-n{n}-s{s}" for p, n, s in zip(once["patient"], once["nodule"], once["slice"], strict=True)]
    arrays = {name: np.concatenate([value, value]) for name, value in once.items()}
    arrays["image"][len(positions) :] = shifted(once["image"], rng)
    arrays["site"] = np.repeat(["sharp", "blurred"], len(positions))
    arrays["case"] = np.array([f"{name}-{site}" for site in ("sharp", "blurred") for name in names])
    description = yaml.safe_load((arguments.source / "dataset.yaml").read_text(encoding="utf-8"))
    description |= {"name": "lidc-sharp-and-blurred", "stack": "stack.npz"}
    arguments.target.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.target / "stack.npz", **arrays)
    (arguments.target / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    for split in TAKEN:
        taken = once["split"] == split
        print(f"{split}: {len(np.unique(once['patient'][taken]))} patients, {taken.sum()} crops at either site")


if __name__ == "__main__":
    main()
