"""Make the studies, train every target on each, test on all four raters: ``python study.py WORK --seeds 0 1``.

Every step is a command that README.md shows. A run that has been tested is left as it is, so that the same command goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))
from design import TARGETS, study_name, trainings
from timed import do

HERE = Path(__file__).parent

WARM = frozenset(("stochastic_segmentation", "probabilistic_unet"))


def fit_words(work: Path, study: str, target: str, seed: int) -> list[str]:
    """The training as a command; those of a distribution go on from soft labels of the same study."""
    runs = work / "runs"
    warm = [f"--model.init_args.warm_start={runs / f'{study}-soft_labels'}"] if target in WARM else []
    configs = [word for name in ("trainer", "data", target) for word in ("-c", str(HERE / f"{name}.yaml"))]
    where = [f"--data.root={work / 'data' / study}", f"--out={runs / f'{study}-{target}'}", "--resume"]
    return ["fit", *configs, *where, f"--seed_everything={seed}", *warm]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the datasets and the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for cases, raters, target in trainings():
            name = study_name(cases, raters, seed)
            dataset, run = work / "data" / name, work / "runs" / f"{name}-{target}"
            if target not in arguments.targets or (run / "results.csv").is_file():
                continue
            if not (dataset / "dataset.yaml").is_file():
                words = [str(dataset), "--cases", str(cases), "--raters", str(raters), "--seed", str(seed)]
                subprocess.run([sys.executable, str(HERE / "build.py"), *words], check=True)
            do(fit_words(work, name, target, seed), work / "times.csv")
            do(["test", "-c", str(run / "config.yaml"), "--data.root=lidc-sample"], work / "times.csv")


if __name__ == "__main__":
    main()
