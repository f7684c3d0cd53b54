"""Segmentation learnt from several raters: distributions instead of one mask, and one ruler for raters and models."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("probseg")
