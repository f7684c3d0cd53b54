"""The README's promises that a machine can hold: its two commands, CI beside them, versions, and no stray names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import probseg
from probseg.cli import main

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e"

# Written so that this file does not contain what it looks for.
FORBIDDEN = re.compile(
    r"(?<![\w.:/-])/(work|tmp|root|home|opt|farm)/\w"
    r"|pypi\.(org|python)|pythonhosted\.(org)|download\.pytorch\.(org)|anaconda\.(org|com)|conda-forge\.(org)"
)


def command(repository: Path, name: str) -> str:
    """The one line of the code block behind ``<!-- command: name -->``."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"<!-- command: {name} -->\s*```\w*\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 1
    lines = blocks[0].splitlines()
    assert len(lines) == 1
    return lines[0]


def test_first_command_installs_and_runs_the_demo(repository: Path) -> None:
    assert command(repository, "demo") == f"{INSTALL} . && .venv/bin/probseg demo"


def test_second_command_installs_and_runs_the_tests(repository: Path) -> None:
    assert command(repository, "test") == f"{INSTALL} '.[test]' && .venv/bin/pytest"


def test_the_picture_is_there(repository: Path) -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (repository / "README.md").read_text(encoding="utf-8"))
    assert pictures
    assert [p for p in pictures if not (repository / p).is_file()] == []


def test_links_within_the_repository_lead_somewhere(repository: Path) -> None:
    for page in (repository / "README.md", repository / "CONTRIBUTING.md", *sorted((repository / "docs").glob("*.md"))):
        targets = re.findall(r"(?<!!)\[[^\]]+\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [t for t in targets if not (page.parent / t).exists()] == [], page.name


def test_ci_runs_the_second_command_as_written(repository: Path) -> None:
    shown = subprocess.run(
        ["bash", ".ci/run", "--show"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert shown.stdout == command(repository, "test") + "\n"
    script = (repository / ".ci" / "run").read_text(encoding="utf-8")
    assert 'bash -euo pipefail -c "$command"' in script
    assert script.index("rm -rf .venv") < script.index('-c "$command"')
    for linter in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"step .venv/bin/{linter}\n" in script


def test_constraints_pin_every_direct_dependency(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert "torchvision" not in pins
    assert all("+" not in version for version in pins.values())
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    names = {normal(re.split(r"[\[<>=!]", requirement)[0]) for requirement in wanted} - {"probseg"}
    assert names - {normal(name) for name in pins} == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_two_lightning_releases_stay_excluded(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert "pytorch-lightning>=2.5,!=2.6.2,!=2.6.3" in text


def test_one_version_everywhere(repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == probseg.__version__
    assert f"\n## {probseg.__version__} " in (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["references"][0]["url"].endswith("2007.03643")


def test_tracked_files_name_no_machine_and_no_registry(repository: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of tracked files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=True).stdout
    found = []
    for name in filter(None, listed.decode().split("\0")):
        path = repository / name
        foreign = path.suffix in {".npz", ".png", ".dcm", ".gz", ".safetensors"} or name.endswith(".umd.js")
        if foreign or not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{name}:{n}: {line[:120]}" for n, line in enumerate(lines, 1) if FORBIDDEN.search(line)]
    assert found == []


@pytest.mark.parametrize("line", ["see /wo" + "rk/main", '"/tm' + 'p/x"', "from pyp" + "i.org"])
def test_the_pattern_finds_what_it_should(line: str) -> None:
    assert FORBIDDEN.search(line)


def test_configs_that_the_readme_names_exist(repository: Path) -> None:
    named = set(re.findall(r"experiments/[\w/]+\.yaml", (repository / "README.md").read_text(encoding="utf-8")))
    assert named
    assert sorted(name for name in named if not (repository / name).is_file()) == []


def test_commands_that_the_readme_names_exist(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^probseg +([a-z]+)", text, flags=re.MULTILINE)) | {"demo"}
    assert main(["--help"]) == 0
    known = set(re.findall(r"^  ([a-z]+) ", capsys.readouterr().out, flags=re.MULTILINE))
    assert named >= {"fit", "test", "predict", "agreement", "report"}
    assert named - known == set()
