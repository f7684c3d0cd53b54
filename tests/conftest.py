"""What every test shares: settings that keep runs repeatable, and where the optional real data lie."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Set before any test module imports matplotlib, wandb or Lightning.
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # small tensors lose more to waking threads than they gain
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

import pytest
from hypothesis import HealthCheck, settings

# Two cores shared with a training make any deadline a coin toss; the same examples each time make a failure repeatable.
settings.register_profile(
    "probseg", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("probseg")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Torch on one core; imported only if a test module did."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data(repository: Path) -> Path:
    """Real data that are too large to ship, beside the checkout; the test is skipped where they are not."""
    folder = repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def dciodvfy() -> Callable[[Path], list[str]]:
    """The errors that dciodvfy finds in a DICOM file, as it words them; the test is skipped where it is missing."""
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy is not installed (Debian and Ubuntu: apt-get install dicom3tools)")

    def errors(path: Path) -> list[str]:
        result = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
        said = (result.stdout + result.stderr).splitlines()
        assert said, "dciodvfy says at least which kind of object it is"
        return [line for line in said if line.startswith(("Error", "Abort"))]

    return errors
