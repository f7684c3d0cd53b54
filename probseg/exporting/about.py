"""What only people can say of a model: what it is for, what it must not be used for, whose it is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.strict_yaml import read_yaml

__all__ = ["About", "read_about"]


@dataclass(frozen=True)
class About:
    """Texts of a model card, in Markdown; empty where nobody has said anything.

    Attributes:
        name: of the model.
        summary: what it is, in a sentence or two.
        intended_use: for what, and by whom.
        limits: what it must not be used for, and where it is known to fail.
        data: where the training data come from, and whose they are.
        licence: identifier of the licence of the weights as Hugging Face lists them, such as ``cc-by-3.0``.
        citation: how to cite it.
        evaluation: what else was measured.
    """

    name: str = ""
    summary: str = ""
    intended_use: str = ""
    limits: str = ""
    data: str = ""
    licence: str = ""
    citation: str = ""
    evaluation: str = ""


def read_about(path: Path) -> About:
    """The texts of a YAML file.

    Raises:
        ProbsegError: the codes of `probseg.io.strict_yaml.read_yaml`; E_SCHEMA where a key is none or no text.
    """
    data = read_yaml(path) or {}
    keys = [f.name for f in fields(About)]
    if not isinstance(data, dict) or set(data) - set(keys):
        raise ProbsegError("E_SCHEMA", f"'{path}' must be a mapping of texts; its keys are {', '.join(keys)}")
    wrong = [key for key, value in data.items() if not isinstance(value, str)]
    if wrong:
        raise ProbsegError("E_SCHEMA", f"'{wrong[0]}' in '{path}' must be a text; put it in quotes")
    return About(**{key: value.strip() for key, value in data.items()})
