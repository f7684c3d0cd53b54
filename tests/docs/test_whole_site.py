"""The check of the built site finds what leads nowhere and what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

GOOD = """<link rel="canonical" href="http://localhost:8000/index.html">
<link rel="stylesheet" href="a.css"><img src="data:image/png;base64,AA==">
<h1 id="top">T</h1><a href="sub/b.html#here">b</a> <a href="#top">t</a>
<a href="https://a.b">out</a> <a href="mailto:x@y">m</a>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.css").write_text("")
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "404.html").write_text('<a href="/nowhere.html">n</a>')
    (tmp_path / "sub" / "b.html").write_text('<p id="here">x</p><a href="../index.html?q=1#top">a</a>')
    return tmp_path


def test_a_good_site_has_no_fault(building: Callable[[str], ModuleType], site: Path) -> None:
    check = building("whole_site")
    assert list(check.faults(site)) == []
    check.on_post_build(config={"site_dir": str(site)})


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('<a href="sub/c.html">c</a>', "index.html links to sub/c.html"),
        ('<a href="sub/b.html#gone">c</a>', "index.html links to sub/b.html#gone"),
        ('<a href="#nowhere">c</a>', "index.html links to #nowhere"),
        ('<script src="https://cdn.example/x.js"></script>', "index.html loads https://cdn.example/x.js"),
        ('<link href="//fonts.example/f.css">', "index.html loads //fonts.example/f.css"),
    ],
)
def test_a_fault_ends_the_build(building: Callable[[str], ModuleType], site: Path, added: str, said: str) -> None:
    check = building("whole_site")
    (site / "index.html").write_text(GOOD + added)
    assert list(check.faults(site)) == [said]
    with pytest.raises(check.PluginError, match="1 faults of the site"):
        check.on_post_build(config={"site_dir": str(site)})
