"""Small CT series for sources that name their slices, and a way to run a kind of import."""

from __future__ import annotations

import argparse
import importlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


@pytest.fixture
def write_ct():
    def write(folder, volume, uid="1.2.3", patient="P1", spacing=(2.0, 0.5, 0.5), thickness=2.0, flipped=False):
        """HU volume to one file a slice, named against their order; returns the SOPInstanceUIDs by slice.

        With ``flipped`` rows run to anterior and columns to right, as in a scan of a prone patient.
        """
        folder.mkdir(parents=True, exist_ok=True)
        uids = []
        for k, plane in enumerate(volume):
            meta = FileMetaDataset()
            meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
            meta.MediaStorageSOPInstanceUID = f"{uid}.{k + 1}"
            d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            d.SOPClassUID, d.SOPInstanceUID, d.Modality = CTImageStorage, f"{uid}.{k + 1}", "CT"
            d.SeriesInstanceUID, d.StudyInstanceUID, d.FrameOfReferenceUID = uid, f"{uid}.0", f"{uid}.9"
            d.PatientID = patient
            turn = -1 if flipped else 1
            d.ImagePositionPatient = [10.0, 20.0, 30.0 + k * spacing[0]]
            d.ImageOrientationPatient = [turn, 0, 0, 0, turn, 0]
            d.PixelSpacing, d.SliceThickness, d.InstanceNumber = list(spacing[1:]), thickness, k + 1
            d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
            d.Rows, d.Columns = plane.shape
            d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
            d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, -1024, "HU"
            d.PixelData = (plane.astype(np.int32) + 1024).astype("<u2").tobytes()
            d["PixelData"].VR = "OW"
            pydicom.dcmwrite(folder / f"{len(volume) - k:03d}.dcm", d, enforce_file_format=True)
            uids.append(f"{uid}.{k + 1}")
        return uids

    return write


@pytest.fixture
def run_import():
    def run(kind, *arguments):
        module = importlib.import_module(f"probseg.importing.{kind}")
        parser = argparse.ArgumentParser()
        module.configure(parser)
        assert module.run(parser.parse_args([str(a) for a in arguments])) == 0

    return run
