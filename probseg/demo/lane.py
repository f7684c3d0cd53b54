"""Several probseg commands one after the other in one process, so that torch is imported once a lane.

Run as ``python -m probseg.demo.lane JSON``, JSON being a list of commands, each a list of words.
"""

from __future__ import annotations

import json
import sys

from probseg.cli import main

__all__ = ["run_lane"]


def run_lane(commands: list[list[str]]) -> int:
    """Run commands until one fails; prints ``== command`` before each, and returns the last exit status."""
    for words in commands:
        print("==", " ".join(words), flush=True)
        status = main(words)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(run_lane(json.loads(sys.argv[1])))
