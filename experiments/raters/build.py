"""A study with fewer readings of the bundled sample: ``python build.py OUT --cases 120 --raters 2 --seed 0``.

The training cases are those of the first patients in an order that the seed decides, and each keeps the masks of so
many of its four raters, which the seed chooses case by case. A smaller study lies within a larger one of the same
seed. The split ``test`` is not in it: every model is tested on the whole sample, with all four raters.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.io.atomic import write_bytes, write_text

SAMPLE = resources.files("probseg") / "data" / "lidc_sample" / "lidc_sample.npz"
KEPT = ("image", "nodule", "patient", "pixel_spacing_mm", "slice", "slice_thickness_mm", "split")
DATASET = """\
# Written by build.py of experiments/raters: {cases} training cases with {raters} of four raters each, seed {seed}.
name: lidc-sample-{cases}x{raters}-seed{seed}
dimensions: 2
labels:
  classes:
    - {{value: 0, name: background}}
    - {{value: 1, name: nodule, colour: "#e4572e"}}
window: [0, 255]
raters: {{stable: false}}
stack: readings.npz
note: >-
  Part of LIDC-IDRI (Armato SG III et al., The Cancer Imaging Archive, 2015, doi:10.7937/K9/TCIA.2015.LO9QL9SX;
  Armato et al., Medical Physics 38 (2011) 915-931), CC BY 3.0, cropped and rescaled.
"""

Arrays = dict[str, NDArray]


def order_key(*parts: object) -> bytes:
    """Sorting by it shuffles, with no library's random numbers."""
    return hashlib.sha256(":".join(map(str, parts)).encode()).digest()


def study(sample: Arrays, cases: int, raters: int, seed: int) -> Arrays:
    """The arrays of a study.

    Args:
        sample: those of the bundled stack.
        cases: training cases.
        raters: masks a case, 1 to 4; of the validation cases likewise.
        seed: of the choice.

    Returns:
        ``cases`` training cases and all validation cases, in the order of the sample, ``masks`` of ``raters`` each.
    """
    patient, split = sample["patient"].tolist(), sample["split"]
    places = sorted(
        np.flatnonzero(split == "train").tolist(),
        key=lambda k: (order_key(seed, "patient", patient[k]), order_key(seed, "case", k)),
    )
    slots = sample["masks"].shape[1]
    if not 1 <= cases <= len(places) or not 1 <= raters <= slots:
        raise SystemExit(f"the sample has {len(places)} training cases of {slots} raters, not {cases} of {raters}")
    chosen = sorted(places[:cases] + np.flatnonzero(split == "validation").tolist())
    kept = [sorted(range(slots), key=lambda slot, k=k: order_key(seed, "rater", k, slot))[:raters] for k in chosen]
    masks = np.stack([sample["masks"][k, slots] for k, slots in zip(chosen, kept, strict=True)])
    return {"masks": masks, **{name: sample[name][chosen] for name in KEPT}}


def write(arrays: Arrays, out: Path, description: str) -> None:
    """The folder of a dataset, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(out / "readings.npz", buffer.getvalue())
    write_text(out / "dataset.yaml", description)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the dataset folder to make")
    parser.add_argument("--cases", type=int, required=True)
    parser.add_argument("--raters", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with np.load(str(SAMPLE)) as archive:
        sample = {name: archive[name] for name in archive.files}
    chosen = {name: getattr(arguments, name) for name in ("cases", "raters", "seed")}
    arrays = study(sample, **chosen)
    write(arrays, arguments.out, DATASET.format(**chosen))
    train = arrays["split"] == "train"
    patients = len(set(arrays["patient"][train].tolist()))
    print(f"{arguments.out}: {train.sum()} cases of {patients} patients, {arguments.raters} masks each")


if __name__ == "__main__":
    main()
