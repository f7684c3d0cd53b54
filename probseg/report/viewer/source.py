"""NiiVue as it is shipped, and the script that drives it."""

from __future__ import annotations

from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["LICENCE", "NIIVUE", "VERSION", "niivue_licence", "niivue_source"]

VERSION = "0.69.0"
_HERE = Path(__file__).parent
NIIVUE = _HERE / f"niivue-{VERSION}.umd.js"
LICENCE = _HERE / "LICENSE-niivue.txt"


def niivue_source() -> str:
    """The library, fit to stand inside a script element.

    Raises:
        ProbsegError: E_CORRUPT where it would end that element.
    """
    text = NIIVUE.read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ProbsegError("E_CORRUPT", f"'{NIIVUE.name}' is not the file that was shipped; install probseg again")
    return text


def niivue_licence() -> str:
    """Its licence, which goes wherever it goes."""
    return LICENCE.read_text(encoding="utf-8")
