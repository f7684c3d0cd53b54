"""Prediction of whole scans: maps, volumes and readings, and the files that hold them."""

from __future__ import annotations

from probseg.inference.failures import ScanFailure
from probseg.inference.inputs import Scan, dataset_scans, scans_of
from probseg.inference.predictor import PredictionSettings, ScanPredictor
from probseg.inference.run_manifest import RunReport
from probseg.inference.running import predict_scans
from probseg.inference.scan import ScanPrediction, predict_scan
from probseg.inference.shared_run import SharedRun
from probseg.inference.sliding import slice_by_slice, sliding_window
from probseg.inference.turns import scan_loader
from probseg.inference.writer import PredictionWriter

__all__ = [
    "PredictionSettings",
    "PredictionWriter",
    "RunReport",
    "Scan",
    "ScanFailure",
    "ScanPrediction",
    "ScanPredictor",
    "SharedRun",
    "dataset_scans",
    "predict_scan",
    "predict_scans",
    "scan_loader",
    "scans_of",
    "slice_by_slice",
    "sliding_window",
]
