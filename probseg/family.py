"""What a family of models is called in tables and folders."""

from __future__ import annotations

import re

__all__ = ["family_name"]


def family_name(class_path: str) -> str:
    """``probseg.models.ProbabilisticUNet`` to ``probabilistic_unet``.

    Example:
        >>> family_name("probseg.models.ProbabilisticUNet")
        'probabilistic_unet'
    """
    name = class_path.rsplit(".", 1)[-1].replace("UNet", "Unet")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
