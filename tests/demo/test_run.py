"""What the demo trains, and what it does when a training fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from probseg.demo import run
from probseg.errors import ProbsegError


@pytest.mark.parametrize("family", run.FAMILIES)
def test_the_configs_to_copy_are_those_of_the_demo(family: str, repository: Path) -> None:
    ours = (Path(run.__file__).parent / "configs" / f"{family}.yaml").read_text(encoding="utf-8")
    assert ours == (repository / "experiments" / "lidc_sample" / f"{family}.yaml").read_text(encoding="utf-8")


def test_both_data_configs_change_images_alike(repository: Path) -> None:
    copies = [
        yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
        for path in (
            Path(run.__file__).parent / "configs" / "data.yaml",
            repository / "experiments" / "lidc_sample" / "data.yaml",
        )
    ]
    for data in copies:
        del data["epoch_length"]
    assert copies[0] == copies[1]


def test_a_failed_training_names_its_log_and_ends_the_other_lane(tmp_path: Path, monkeypatch) -> None:
    commands = {0: [["fit", "--nonsense"]], 1: None}

    def start(out: Path, number: int, families: tuple[str, ...], steps: int | None) -> subprocess.Popen[bytes]:
        (out / "logs").mkdir(exist_ok=True)
        words = (
            [sys.executable, "-m", "probseg.demo.lane", json.dumps(commands[0])]
            if number == 0
            else [sys.executable, "-c", "import time; time.sleep(600)"]
        )
        with (out / "logs" / f"lane-{number}.txt").open("wb") as log:
            return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)

    monkeypatch.setattr(run, "_start", start)
    with pytest.raises(ProbsegError, match=r"E_DEMO.*lane-0\.txt"):
        run.run_demo(tmp_path)


def test_a_lane_stops_at_the_first_failure(capsys: pytest.CaptureFixture[str]) -> None:
    from probseg.demo.lane import run_lane

    assert run_lane([["--version"], ["nonsense"], ["--version"]]) == 2
    assert capsys.readouterr().out.count("== --version") == 1
