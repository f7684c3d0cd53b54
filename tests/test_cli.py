"""The command itself: what it knows, how it fails, and how little it imports."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

import probseg
from probseg import cli
from probseg.cli import main
from probseg.errors import ProbsegError, warn


def test_without_a_word_it_tells_what_there_is(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("fit", "test", "predict", "agreement", "report", "demo", "import"):
        assert f"\n  {name} " in out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{probseg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["frobnicate"], "E_USAGE"),
        (["report"], "E_USAGE"),
        (["agreement", "--nonsense"], "E_USAGE"),
        (["agreement", "nowhere\nat all", "--out", "x"], "E_FILE_MISSING"),
    ],
)
def test_errors_are_one_line(words, code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith(f"error: {code}: ")
    assert not any(tmp_path.iterdir())


def test_warnings_are_one_line_each_and_the_filters_are_put_back(capsys, monkeypatch):
    def noisy(argv):
        warn("W_TRIAL", "something\nto know")
        raise ProbsegError("E_TRIAL", "and then\nit failed")

    monkeypatch.setattr(cli, "_run", noisy)
    filters, show = list(warnings.filters), warnings.showwarning
    assert main(["x"]) == 2
    assert capsys.readouterr().err == "warning: W_TRIAL: something to know\nerror: E_TRIAL: and then it failed\n"
    assert (list(warnings.filters), warnings.showwarning) == (filters, show)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_being_stopped_is_no_traceback(error, status, monkeypatch, capsys):
    def stopped(argv):
        raise error

    monkeypatch.setattr(cli, "_run", stopped)
    assert main(["x"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_agreement_starts_without_torch():
    code = (
        "import sys; from probseg.cli import main\n"
        "try: main(['agreement', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'monai', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout


@pytest.mark.parametrize("name", ["demo", "import", "predict", "agreement", "report"])
def test_every_command_helps_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"probseg {name}" in capsys.readouterr().out
