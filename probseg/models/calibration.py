"""A trained model asked with the calibrator that lies beside its checkpoint."""

from __future__ import annotations

from pathlib import Path

from probseg.calibrators import calibrator_path, read_calibrator
from probseg.errors import ProbsegError
from probseg.io.digest import file_sha256
from probseg.models.base import SegmentationModule

__all__ = ["NO_CALIBRATION", "STORED", "use_calibration"]

STORED = "stored"
NO_CALIBRATION = "none"


def use_calibration(model: SegmentationModule, checkpoint: Path, choice: str = STORED) -> None:
    """Let a model have the calibrator that ``probseg calibrate`` fitted for its checkpoint.

    Args:
        model: with the weights of the checkpoint, bound to its label set.
        checkpoint: the file of the weights.
        choice: ``stored`` for what lies beside the checkpoint, if anything; ``none`` to leave it out; or the class path
            of a calibrator of another package, which must lie there.

    Raises:
        ProbsegError: the codes of `read_calibrator`; E_FILE_MISSING where the named calibrator does not lie there;
            E_CLASS_MISMATCH where it is for other classes.
    """
    model.calibrate(None)
    if choice == NO_CALIBRATION:
        return
    named = None if choice == STORED else choice
    stored = read_calibrator(checkpoint, named)
    if named is not None and (stored is None or stored.config["class_path"] != named):
        raise ProbsegError(
            "E_FILE_MISSING",
            f"no calibrator '{named}' lies beside '{checkpoint}'; --calibration is stored, none, or the class path of "
            "the one that does",
        )
    if stored is None:
        return
    if model.info is not None and stored.classes != model.info.labels.names:
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"the calibrator of '{checkpoint}' is for {', '.join(stored.classes)}, but the model knows "
            f"{', '.join(model.info.labels.names)}; run probseg calibrate again",
        )
    model.calibrate(
        stored.calibrator,
        {
            "method": stored.method,
            **stored.config,
            "sha256": file_sha256(calibrator_path(checkpoint)),
            # a command has paths, and this goes into what is written of a patient's scan
            "fitted_on": {name: value for name, value in stored.record.items() if name != "command"},
        },
    )
