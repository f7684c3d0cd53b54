from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from probseg.errors import ProbsegError
from probseg.report.plots import COLUMN_MM, save_figure


@pytest.fixture
def figure() -> Figure:
    drawn = Figure(figsize=(6.0, 3.0))
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1], "o")
    axes.set_title("a title to be found")
    return drawn


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".png"])
def test_the_same_picture_gives_the_same_bytes(figure: Figure, tmp_path: Path, ending: str) -> None:
    first, second = (save_figure(figure, tmp_path / f"{k}{ending}").read_bytes() for k in "ab")
    assert first == second and len(first) > 500
    assert b"Date" not in first and b"Matplotlib" not in first


def test_a_column_is_as_wide_as_a_column_and_text_stays_text(figure: Figure, tmp_path: Path) -> None:
    text = save_figure(figure, tmp_path / "a.svg", COLUMN_MM).read_text(encoding="utf-8")
    width, height = (float(v) for v in re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2])
    assert width == pytest.approx(88 / 25.4 * 72, abs=0.1) and height == pytest.approx(width / 2, abs=0.1)
    assert "a title to be found" in text
    assert figure.get_size_inches().tolist() == [6.0, 3.0]  # the figure itself is left as it was
    with Image.open(save_figure(figure, tmp_path / "a.png", COLUMN_MM, dpi=254)) as image:
        assert image.width == 880


@pytest.mark.parametrize(
    ("name", "width", "code"), [("a.jpg", None, "E_WRONG_EXTENSION"), ("a.svg", -1.0, "E_ARGUMENT")]
)
def test_what_cannot_be_saved_is_refused(
    figure: Figure, tmp_path: Path, name: str, width: float | None, code: str
) -> None:
    with pytest.raises(ProbsegError, match=code):
        save_figure(figure, tmp_path / name, width)
    assert list(tmp_path.iterdir()) == []
