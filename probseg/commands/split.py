"""``probseg split``: patients to train, validation, calibration and test."""

from __future__ import annotations

import argparse

from probseg.errors import ProbsegError, held_warnings

DESCRIPTION = (
    "Divide the patients of a dataset, balanced by site and by whether anything was drawn, and write the splits "
    "into its cases.csv. The same seed gives the same splits."
)
EXAMPLE = "probseg split dataset --shares 0.6 0.1 0.1 0.2 --seed 0"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder")
    parser.add_argument(
        "--shares",
        type=float,
        nargs=4,
        default=(0.6, 0.1, 0.1, 0.2),
        metavar=("TRAIN", "VALIDATION", "CALIBRATION", "TEST"),
        help="shares of the patients (default: 0.6 0.1 0.1 0.2)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--folds", type=int, metavar="K", help="deal K folds; --fold is the test, the next the validation")
    how.add_argument("--leave-site-out", metavar="SITE", help="the test is this site; the rest is dealt by --shares")
    parser.add_argument("--fold", type=int, metavar="N", help="which of the folds, from 0 (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shuffle (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace splits that are there already")


def run(args: argparse.Namespace) -> int:
    """Look at every case, deal the patients, write, and show what each split got."""
    from probseg.manifest import open_dataset
    from probseg.progress import followed
    from probseg.splits import counts_by_split, patients_of, split_by_fold, split_by_shares, split_by_site, write_splits
    from probseg.survey import survey

    if args.fold is not None and args.folds is None:
        raise ProbsegError("E_USAGE", "--fold says which of --folds is the test; add --folds K")
    if args.seed < 0:
        raise ProbsegError("E_USAGE", f"--seed must not be negative, but is {args.seed}")
    dataset = open_dataset(args.dataset)
    if dataset.path is None or not (dataset.path / "cases.csv").is_file():
        raise ProbsegError("E_USAGE", f"'{args.dataset}' has no cases.csv to write splits to; import it as a folder")
    if any(r.split for r in dataset.records) and not args.overwrite:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{args.dataset}' has splits already; add --overwrite to deal anew")
    with held_warnings():
        facts = list(followed(survey(dataset), len(dataset)))
        patients = patients_of(facts)
    if args.folds is not None:
        splits = split_by_fold(patients, args.folds, args.fold or 0, args.seed)
    elif args.leave_site_out is not None:
        splits = split_by_site(patients, args.leave_site_out, args.shares, args.seed)
    else:
        splits = split_by_shares(patients, args.shares, args.seed)
    path = write_splits(dataset, splits)
    for name, counts in counts_by_split(facts, splits).items():
        sites = ", ".join(f"{k.removeprefix('site ') or '-'} {n}" for k, n in counts.items() if k.startswith("site "))
        print(
            f"{name:<12} {counts['patients']:>4} patients {counts['cases']:>5} cases, {counts['foreground']} with "
            f"foreground; sites: {sites}"
        )
    print(f"wrote {path}")
    print(f"next: probseg check {args.dataset}")
    return 0
