"""The tutorial from its first command to its last, with files cut from the page, on few and small scans."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from probseg.cli import main

pytestmark = pytest.mark.journey

# What makes each command small; everything else is as the page has it.
SMALLER = {
    "import synthetic": ("--cases", "6", "--shape", "2", "32", "32"),
    "fit": (
        *("--trainer.max_steps=2", "--trainer.max_epochs=1", "--trainer.limit_val_batches=1", "--data.batch_size=2"),
        *("--data.epoch_length=4", "--data.crop=[32,32]", "--model.init_args.network.init_args.channels=[4,8]"),
    ),
    "test": ("--trainer.limit_test_batches=1", "--model.init_args.draws=2"),
    "predict": ("--draws", "8"),
}


@pytest.fixture(scope="module")
def page(pages: dict[str, str]) -> str:
    return pages["tutorials/ten_minutes.md"]


def test_the_whole_path(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    labels, config = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "labels.yaml").write_text(labels, encoding="utf-8")
    (tmp_path / "first.yaml").write_text(config, encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("probseg ")]
    done = []
    for _, *words in lines:
        name = " ".join(words[:2]) if words[0] == "import" else words[0]
        if words[:2] == ["agreement", "lidc-sample"]:  # as in the README; the tests of agreement run it
            continue
        done.append(name)
        assert main([*words, *SMALLER.get(name, ())]) == 0, words
    assert done == [
        *("import synthetic", "import dicom", "import dicom", "check", "agreement", "split", "prepare", "fit", "test"),
        *("predict", "predict", "evaluate", "report"),
    ]
    printed = capsys.readouterr().out
    assert "6 cases of 6 patients, 18 readings of 3 raters" in printed and "sound" in printed
    written = {path.name for path in (tmp_path / "scan" / "case-0002").iterdir()}
    assert written == set(re.findall(r"^\| `([\w.]+)` \|", page, flags=re.MULTILINE)), "the page's table of files"
    assert "stochastic" in (tmp_path / "report.html").read_text(encoding="utf-8")
