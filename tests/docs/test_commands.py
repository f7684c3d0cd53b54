"""Every command that a page shows is one that probseg takes, with every option in it."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from probseg import cli
from probseg.cli import main
from probseg.errors import ProbsegError

BLOCK = re.compile(r"^```(?:bash|text)?\n(.*?)^```$|((?:^ {4}.*\n|^\n)+)", flags=re.DOTALL | re.MULTILINE)
ADMONITION = re.compile(r"^(?:!!!|\?\?\?) .*\n(?: {4}.*\n)+", flags=re.MULTILINE)
COMMAND = re.compile(r"^ *(?:srun |export \w+=\S+ |OMP_NUM_THREADS=\d+ |\.venv/bin/)*probseg (.+?)(?: &)?$")
TRAINING = {"fit", "validate", "test"}
# Lightning's own loggers and their settings, which probseg's help does not list.
OPEN = ("--model.", "--trainer.logger.", "--trainer.plugins", "--trainer.callbacks")


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``probseg`` of every command in the code blocks of a page; an empty list where one is broken."""
    for fenced, indented in BLOCK.findall(ADMONITION.sub("", text)):
        for line in re.sub(r"\\\n *", "", fenced or indented).splitlines():
            found = COMMAND.match(re.sub(r" {2,}#.*$", "", line))
            if found and not line.lstrip().startswith("next:"):
                yield shlex.split(found[1].replace("...", ""), comments=True)


@pytest.fixture(scope="module")
def shown(repository: Path, pages: dict[str, str]) -> list[tuple[str, list[str]]]:
    everywhere = {**pages, "README.md": (repository / "README.md").read_text(encoding="utf-8")}
    return [(name, words) for name, text in everywhere.items() for words in commands(text)]


def test_pages_show_commands(shown: list[tuple[str, list[str]]]) -> None:
    assert len(shown) > 60
    assert {"fit", "predict", "import", "adapt", "calibrate", "agreement"} <= {words[0] for _, words in shown}


def test_commands_parse(shown: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command's own parser, which judges options, choices and numbers; nothing is run."""
    wrong = []
    for page, words in shown:
        if words[0] in TRAINING or words[:2] == ["predict", "-c"] or words == ["--version"]:
            continue
        if words[0] not in cli._COMMANDS:
            wrong.append(f"{page}: probseg {' '.join(words)}")
            continue
        module = importlib.import_module(f"probseg.commands.{cli._COMMANDS[words[0]][0]}")
        with monkeypatch.context() as patched:
            patched.setattr(module, "run", lambda args: 0)
            try:
                cli._run(words)
            except ProbsegError as error:
                wrong.append(f"{page}: probseg {' '.join(words)}: {error}")
            except SystemExit:  # --help
                assert "--help" in words
    assert wrong == []


def test_options_of_trainings_exist(shown: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    known = set(re.findall(r"--[\w.]+", capsys.readouterr().out)) | {"--help"}
    assert {"--data.root", "--trainer.max_epochs", "--resume"} <= known
    used = [(page, word.partition("=")[0]) for page, words in shown if words[0] in TRAINING for word in words]
    options = [(page, option) for page, option in used if option.startswith("--") and not option.startswith(OPEN)]
    assert len(options) > 10
    assert [(page, option) for page, option in options if option not in known] == []


def test_configurations_that_commands_name_exist(repository: Path, shown: list[tuple[str, list[str]]]) -> None:
    named = {(page, w) for page, words in shown for w in words if re.fullmatch(r"experiments/[\w/]+\.yaml", w)}
    assert named
    assert [entry for entry in named if not (repository / entry[1]).is_file()] == []


def test_a_wrong_command_is_found() -> None:
    (words,) = commands("text\n\n    srun probseg predict RUN SCAN --out p \\\n        --drawz=3    # ten\n\nend\n")
    assert words == ["predict", "RUN", "SCAN", "--out", "p", "--drawz=3"]
