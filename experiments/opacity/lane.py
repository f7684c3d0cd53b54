"""Run the study: ``python experiments/opacity/lane.py`` in a folder with data/groups, data/lungs and data/phase3.

Every step is a command of probseg, called within one process to spare its start; each is printed as one would type it,
and its processor time goes to times.csv. A run that has been measured is left as it is, so the same command goes on
where it was stopped. With ``--full`` the study's sizes instead of the small ones of results.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))

from measure import measure
from timed import do

from probseg.manifest import open_dataset

HERE = Path(__file__).parent
RUNS = Path("runs")
TIMES = Path("times.csv")


@dataclass(frozen=True)
class Step:
    """One training: its YAMLs, overlay of a small network, data set, site left out, readings and budget."""

    name: str
    configs: tuple[str, ...]
    small: str
    data: str = "data/groups"
    left_out: str = ""
    readings: int = 0
    budget: str = ""


def steps_of(sites: tuple[str, ...]) -> Iterator[Step]:
    """What to do, in order."""
    yield Step("phase1_lungs", ("phase1_lungs",), "unet", "data/lungs", budget="lungs")
    yield Step("phase1_unet", ("phase1_unet",), "unet")
    yield Step("phase2_soft", ("phase2_soft",), "unet")
    for site in sites:
        yield Step(f"without_{site}", ("phase1_unet",), "unet", left_out=site)
    yield Step("phase1_pspnet", ("phase1_pspnet",), "pspnet")
    yield Step("phase3", ("phase3",), "unet", "data/phase3")
    yield Step("stochastic_segmentation", ("stochastic_segmentation",), "unet", readings=8, budget="family")
    yield Step("monte_carlo_dropout", ("monte_carlo_dropout",), "unet", readings=8, budget="family")
    yield Step("ensemble", ("ensemble",), "ensemble", readings=2, budget="family")
    yield Step("probabilistic_unet", ("probabilistic_unet",), "unet", readings=8, budget="family")


def fit_words(step: Step, sites: tuple[str, ...], full: bool) -> list[str]:
    """The training as a command."""
    files = ["trainer", "data", *step.configs]
    if not full:
        files += ["small/trainer", f"small/{step.small}"]
        files += [f"small/{step.budget}"] if step.budget else []
    words = ["fit"] + [word for name in files for word in ("-c", str(HERE / f"{name}.yaml"))]
    words += [f"--data.root={step.data}", f"--out={RUNS / step.name}"]
    if step.left_out:
        words.append(f"--data.sites=[{','.join(s for s in sites if s != step.left_out)}]")
    return words


def train_and_measure(step: Step, sites: tuple[str, ...], full: bool) -> None:
    """Fit, predict the test patients, evaluate, and what the study reports beside."""
    run = RUNS / step.name
    if not (run / "checkpoints" / "best.ckpt").is_file() or not (run / "training.json").is_file():
        shutil.rmtree(run, ignore_errors=True)  # a budget that was cut short is not gone on with here
        do(fit_words(step, sites, full), TIMES)
    if step.name == "phase1_lungs" or (run / "opacity.json").is_file():
        return
    site = ["--site", step.left_out] if step.left_out else []
    draws = ["--draws", str(step.readings), "--readings", str(step.readings)] if step.readings else []
    predictions, evaluation = str(run / "predictions"), str(run / "evaluation")
    do(
        ["predict", str(run), step.data, "--split", "test", *site, *draws, "--batch-size", "12", "--out", predictions],
        TIMES,
    )
    if not step.left_out:  # of a site alone, opacity.json has all that is shown
        do(["evaluate", predictions, step.data, "--out", evaluation, "--overwrite"], TIMES)
    measure(Path(predictions), Path(step.data), run / "opacity.json")


def adapt_and_test(source: Path, root: str, site: str) -> None:
    """The model that never saw a site, there in HU and in 8 bits, before and after each method of ``probseg adapt``."""
    config = str(source / "config.yaml")
    for name, data in (("in_hu", "data/groups"), ("in_8_bits", root)):
        out = RUNS / f"adapt_{name}"
        if not (out / "results.csv").is_file():
            best = source / "checkpoints" / "best.ckpt"
            where = [f"--data.root={data}", f"--data.sites=[{site}]", f"--out={out}"]
            do(["test", "-c", config, f"--ckpt_path={best}", *where], TIMES)
    for name, method, more in (
        ("statistics", "NormalisationStatistics", ()),
        ("entropy", "EntropyMinimisation", ()),
        ("recalibration", "Recalibration", ()),
        ("finetune", "FineTune", ("--cases", "4", "--set", "steps=60")),
    ):
        out = RUNS / f"adapt_{name}"
        if not (out / "results.csv").is_file():
            words = ["adapt", str(source), "--method", method, "--data.root", root, "--site", site, *more]
            do([*words, "--seed", "0", "--out", str(out), "--overwrite"], TIMES)
            do(["test", "-c", str(out / "config.yaml")], TIMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the study's sizes and epochs")
    parser.add_argument("--only", nargs="+", help="names of steps; adapt is one of them")
    parser.add_argument("--eight-bit-site", default="west", help="the site of data/eight_bit")
    arguments = parser.parse_args()
    sites = open_dataset("data/groups").sites
    for step in steps_of(sites):
        if not arguments.only or step.name in arguments.only:
            train_and_measure(step, sites, arguments.full)
    if not arguments.only or "adapt" in arguments.only:
        site = arguments.eight_bit_site
        adapt_and_test(RUNS / f"without_{site}", "data/eight_bit", site)


if __name__ == "__main__":
    main()
