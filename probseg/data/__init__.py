"""Data: the datamodule and its transforms, synthetic cases with known truth, and a small bundled sample.

Importing this package is cheap; `probseg.data.datamodule` needs torch, `probseg.data.synthetic` does not.
"""
