"""Train each model on each fold, let it read for every rater, and test it: ``python study.py DATA WORK``.

Every step is a command that README.md shows. What was done is left as it is, so that the same command goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))
from readings import MODELS, write_raters
from score import score
from timed import do

from probseg.manifest import open_dataset

HERE = Path(__file__).parent
WARM = frozenset(MODELS) - {"majority", "staple"}


def fit_words(data: Path, run: Path, name: str, seed: int) -> list[str]:
    """The training as a command; those that tell raters apart go on from the majority of the same fold."""
    warm = [f"--model.init_args.warm_start={run.parent / 'majority'}"] if name in WARM else []
    configs = [word for file in ("trainer", "data", name) for word in ("-c", str(HERE / f"{file}.yaml"))]
    return ["fit", *configs, f"--data.root={data}", f"--out={run}", "--resume", f"--seed_everything={seed}", *warm]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="what build.py made")
    parser.add_argument("work", type=Path, help="folder of the runs")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers-only", action="store_true", help="leave out probseg test")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "raters.csv").is_file():  # every fold has the images of all
        write_raters(open_dataset(arguments.data / "fold-0"), work / "raters.csv")
    for name in arguments.models:
        for data in sorted(arguments.data.glob("fold-*")):
            run = work / data.name / name
            if not (run / "readers.csv").is_file():
                do(fit_words(data, run, name, arguments.seed), work / "times.csv")
                score(run, data)
            if not (arguments.readers_only or (run / "results.csv").is_file()):
                do(["test", "-c", str(run / "config.yaml")], work / "times.csv")


if __name__ == "__main__":
    main()
