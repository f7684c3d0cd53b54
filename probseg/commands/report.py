"""``probseg report``: one self-contained page of raters, models and cases."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from probseg.commands.assignments import assignments
from probseg.errors import ProbsegError

# The rest is imported when it runs: --help must answer at once.
if TYPE_CHECKING:
    from probseg.report.page import PageOptions

DESCRIPTION = """\
Write one self-contained HTML page, to be opened from the disk without a network: how far raters differ, how close a
model comes to them, calibration, volumes, the worst cases, a viewer of their scans, definitions and provenance.

Give any of: what probseg agreement, evaluate and predict wrote, run folders of probseg test, a folder with runs/ inside
like the demo's, and the dataset, which gives the scans to pictures and viewer.

With --notebook NAME a notebook is run instead, on a dataset and on a run or predictions where it takes one; without DIR
on the bundled sample."""
EXAMPLE = "probseg report agreement evaluation predictions dataset --out report.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="*",
        help="results of agreement or evaluate, predictions, run folder, folder with runs/ inside, or dataset",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: report.html, or NAME.html of a notebook)")
    parser.add_argument(
        "--viewer", metavar="N", type=int, help="cases in the viewer, the worst first (default: 4, with a dataset)"
    )
    parser.add_argument("--no-viewer", action="store_true", help="leave the viewer out; the page is some MB smaller")
    parser.add_argument(
        "--viewer-mb", metavar="MB", type=float, help="most MB that the scans in the viewer add (default: 60)"
    )
    parser.add_argument("--worst", metavar="N", type=int, help="worst cases as pictures (default: 6)")
    parser.add_argument("--notebook", metavar="NAME", help="run this notebook; 'list' names them")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the notebook, such as structure=nodule",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is and what is in it."""
    if args.notebook is not None:
        return _run_notebook(args)
    if args.set:
        raise ProbsegError("E_USAGE", "--set is for parameters of a notebook; name it with --notebook")
    if not args.folders:
        raise ProbsegError("E_USAGE", "give at least one DIR to report on; see probseg report --help")
    from probseg.report.inputs import gather_inputs
    from probseg.report.page import write_page

    options = _options(args)
    inputs = gather_inputs(args.folders)
    if args.viewer is not None and not inputs.datasets:
        raise ProbsegError("E_USAGE", "--viewer needs scans to show; give the dataset as one more DIR")
    page = write_page(inputs, args.out or Path("report.html"), options)
    for message in page.messages:
        print(message)
    if page.viewed:
        print(f"in the viewer: {', '.join(page.viewed)}")
    _say_written(page.path)
    return 0


def _run_notebook(args: argparse.Namespace) -> int:
    from probseg.report.notebook import notebook_names, write_notebook

    for name in ("viewer", "no_viewer", "viewer_mb", "worst"):
        if getattr(args, name) not in (None, False):
            raise ProbsegError("E_USAGE", f"--{name.replace('_', '-')} is not for a notebook; leave it out")
    if args.notebook == "list":
        print("\n".join(notebook_names()))
        return 0
    out = args.out or Path(f"{args.notebook}.html")
    _say_written(write_notebook(args.notebook, args.folders, assignments(args.set), out))
    return 0


def _say_written(path: Path) -> None:
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(
        f"next: open {path.resolve().as_uri()} in a browser" if path.suffix == ".html" else f"next: jupyter lab {path}"
    )


def _options(args: argparse.Namespace) -> PageOptions:
    from probseg.report.page import PageOptions

    if args.no_viewer and (args.viewer is not None or args.viewer_mb is not None):
        raise ProbsegError("E_USAGE", "--no-viewer leaves out what --viewer and --viewer-mb ask for; give one of them")
    for name, value, least in (("viewer", args.viewer, 1), ("worst", args.worst, 0)):
        if value is not None and value < least:
            raise ProbsegError("E_USAGE", f"--{name} must be at least {least}, but is {value}")
    if args.viewer_mb is not None and not args.viewer_mb > 0:
        raise ProbsegError("E_USAGE", f"--viewer-mb must be positive, but is {args.viewer_mb}")
    usual = PageOptions()
    # names of folders alone: where they lie on this machine is nobody's business who reads the page
    words = ["probseg", "report", *(folder.resolve().name for folder in args.folders)]
    words += ["--no-viewer"] if args.no_viewer else []
    for name in ("viewer", "viewer_mb", "worst"):
        if getattr(args, name) is not None:
            words += [f"--{name.replace('_', '-')}", f"{getattr(args, name):g}"]
    return PageOptions(
        viewer=0 if args.no_viewer else usual.viewer if args.viewer is None else args.viewer,
        viewer_mb=usual.viewer_mb if args.viewer_mb is None else args.viewer_mb,
        worst=usual.worst if args.worst is None else args.worst,
        command=shlex.join(words),
    )
