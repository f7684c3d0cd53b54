"""Data of challenges in the layout in which they are released, a kind of import a file."""

from __future__ import annotations
