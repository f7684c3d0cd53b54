"""Post-hoc calibration: changes of every draw's logits, fitted on the calibration split and kept with a checkpoint."""

from __future__ import annotations

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.class_temperature import ClassTemperature
from probseg.calibrators.isotonic import Isotonic
from probseg.calibrators.local_temperature import LocalTemperature
from probseg.calibrators.objective import marginal_nll
from probseg.calibrators.sample import CalibrationSample, gather
from probseg.calibrators.stored import (
    StoredCalibrator,
    build_calibrator,
    calibrator_path,
    read_calibrator,
    write_calibrator,
)
from probseg.calibrators.temperature import Temperature
from probseg.calibrators.vector_scaling import VectorScaling

__all__ = [
    "CalibrationSample",
    "Calibrator",
    "ClassTemperature",
    "Isotonic",
    "LocalTemperature",
    "Sizes",
    "StoredCalibrator",
    "Temperature",
    "VectorScaling",
    "build_calibrator",
    "calibrator_path",
    "gather",
    "marginal_nll",
    "read_calibrator",
    "write_calibrator",
]
