"""Prediction of whole scans: maps, volumes and readings, and the files that hold them."""

from __future__ import annotations

from probseg.inference.inputs import Scan, ScanFailure, dataset_scans, scan_loader, scans_of
from probseg.inference.predictor import PredictionSettings, ScanPredictor
from probseg.inference.scan import ScanPrediction, predict_scan
from probseg.inference.sliding import slice_by_slice, sliding_window
from probseg.inference.writer import PredictionWriter

__all__ = [
    "PredictionSettings",
    "PredictionWriter",
    "Scan",
    "ScanFailure",
    "ScanPrediction",
    "ScanPredictor",
    "dataset_scans",
    "predict_scan",
    "scan_loader",
    "scans_of",
    "slice_by_slice",
    "sliding_window",
]
