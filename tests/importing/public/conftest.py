"""Small files in the layouts of public opacity data, and a way to run a kind of import on them."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.cli import main
from probseg.io import nifti

GRID = Geometry((4, 32, 40), (5.0, 0.8, 0.8), (-10.0, 5.0, 30.0))


class Layout:
    """Writes images and masks; the same seed gives the same voxels."""

    @staticmethod
    def hu(seed=0, grid=GRID):
        image = np.random.default_rng(seed).integers(-900, 300, grid.shape).astype(np.int16)
        image[:, 0, 0] = -1000
        return image

    @staticmethod
    def grey(seed=0, grid=GRID):
        image = np.random.default_rng(seed).integers(0, 256, grid.shape).astype(np.uint8)
        image[:, 0, 0] = 255
        return image

    @staticmethod
    def mask(*values, shift=0, grid=GRID):
        """A bar a value, rows 4 to 10, from column 4 on; ``shift`` moves all of them down."""
        made = np.zeros(grid.shape, np.uint8)
        for k, value in enumerate(values):
            made[:, 4 + shift : 10 + shift, 4 + 6 * k : 10 + 6 * k] = value
        return made

    @staticmethod
    def write(path, array, grid=GRID):
        path.parent.mkdir(parents=True, exist_ok=True)
        nifti.write(path, array, grid)


@pytest.fixture(scope="session")
def layout():
    return Layout


@pytest.fixture
def said(capfd):
    def run(*words):
        """Status, lines of stdout and lines of stderr of a command."""
        capfd.readouterr()
        status = main([str(w) for w in words])
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def refused(said):
    def run(code, *words):
        """The one line of a command that must fail and write nothing."""
        status, out, err = said(*words)
        assert (status, out, len(err)) == (2, [], 1), (out, err)
        assert err[0].startswith(f"error: {code}: "), err
        return err[0]

    return run
