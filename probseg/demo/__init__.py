"""The demonstration: four families trained on the bundled sample in minutes, and compared with the raters."""

from __future__ import annotations

from probseg.demo.run import run_demo

__all__ = ["run_demo"]
