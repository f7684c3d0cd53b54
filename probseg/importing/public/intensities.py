"""What the numbers of a released image are: Hounsfield units, or grey values of 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["GREY", "HU", "WINDOWS", "kind_of", "to_hu"]

HU = "hu"
GREY = "grey"
WINDOWS = {HU: (-1000.0, 400.0), GREY: (0.0, 255.0)}

# A chest CT has air in and round it; 8 bits have no negative numbers, and more than two shades.
_AIR_HU = -500
_BRIGHT = 64


def kind_of(image: NDArray, what: str) -> str:
    """``hu`` where there is air below -500, ``grey`` where all lies in 0..255 and some at 64 or above.

    Raises:
        ProbsegError: E_NOT_HU where it is neither, such as numbers from 0 to 1 or CT moved above zero.

    Example:
        >>> kind_of(np.array([-1024, 40]), "a"), kind_of(np.array([0, 255]), "b")
        ('hu', 'grey')
    """
    low, high = float(image.min()), float(image.max())
    if low <= _AIR_HU:
        return HU
    if low >= 0 and _BRIGHT <= high <= 255:
        return GREY
    raise ProbsegError(
        "E_NOT_HU",
        f"{what} holds numbers from {low:g} to {high:g}, which are neither Hounsfield units with air below {_AIR_HU} "
        "nor grey values from 0 to 255; convert it to Hounsfield units",
    )


def to_hu(grey: NDArray, window: tuple[float, float]) -> NDArray[np.int16]:
    """Grey values 0..255 back to the window that they were made with, to the nearest unit.

    Example:
        >>> to_hu(np.array([0, 51, 255]), (-1250, 250)).tolist()
        [-1250, -950, 250]
    """
    low, high = window
    return np.rint(low + grey.astype(np.float64) * ((high - low) / 255)).astype(np.int16)
