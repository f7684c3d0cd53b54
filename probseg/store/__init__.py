"""The prepared store: a dataset's cases converted once, so that any slice or patch is read without its scan.

``DATASET/.store/cases/CASE.case`` is one case (`probseg.io.prepared`), written whole or not at all, so that a
preparation that was stopped goes on where it was. Its key is the SHA-256 of what it was made from: the bytes of its
image, masks and rated masks, how ``cases.csv`` names them, the label values, and the release of probseg. Splits,
sites, patients and the window are not part of it; they are read from the dataset and may change.

``DATASET/.store/stamps/CASE.json`` only spares reading those bytes again: size and times of each file when the key was
made. Where they still hold the case is fresh; where they do not, the bytes decide.
"""

from __future__ import annotations

from probseg.store.joined import JoinedStore, store_of
from probseg.store.preparing import STORE, Preparation, has_store, prepare, store_folder
from probseg.store.reading import Store, prepared

__all__ = [
    "STORE",
    "JoinedStore",
    "Preparation",
    "Store",
    "has_store",
    "prepare",
    "prepared",
    "store_folder",
    "store_of",
]
