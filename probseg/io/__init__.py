"""Files in and out. Importing this package is cheap; each reader imports its library when it is called."""

from __future__ import annotations

from probseg.io.volumes import read_image, read_mask

__all__ = ["read_image", "read_mask"]
