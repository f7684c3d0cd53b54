"""``python -m probseg``."""

import sys

from probseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
