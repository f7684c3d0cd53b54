"""YAML without its traps."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from probseg.errors import ProbsegError
from probseg.io import strict_yaml
from probseg.io.strict_yaml import read_yaml, yaml_text


@pytest.fixture
def read(tmp_path):
    def call(text, **options):
        path = tmp_path / "a.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path, **options)

    return call


def test_numbers_as_yaml_1_2_has_them(read):
    text = "[1e-3, -1E5, 1.5, .5, 12, 1_000, 1e3x, '1e3', 5., +1.e2]"
    found = read(text)
    assert found == [0.001, -100000.0, 1.5, 0.5, 12, 1000, "1e3x", "1e3", 5.0, 100.0]
    assert [type(v) for v in found[:5]] == [float, float, float, float, int]


def test_what_is_allowed(read):
    assert read("a: &x {b: 1}\nc: {<<: *x, d: 2}\n") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}
    assert read("# nothing\n") is None
    assert read(b"\xef\xbb\xbfa: 1\n") == {"a": 1}
    assert read('{"a": [1, null, true]}') == {"a": [1, None, True]}
    assert math.isinf(read("a: .inf", finite=False)["a"])


BOMB = "a: &a [x]\n" + "".join(
    f"{q}: &{q} [{', '.join(['*' + p] * 9)}]\n" for p, q in zip("abcdefghi", "bcdefghij", strict=True)
)
WRONG = {
    "object": "!!python/object/apply:os.system [ls]",
    "tag": "a: !mine 3",
    "twice": "a: 1\nb: {c: 1, d: 2, c: 3}",
    "twice in JSON": '{"a": 1, "a": 2}',
    "bomb": BOMB,
    "itself": "&a [*a]",
    "itself as a key": "&a {? *a : 1}",
    "nowhere": "*a",
    "deep": "[" * 20_000,
    "two documents": "a: 1\n---\nb: 2\n",
    "a list as a key": "? [a]\n: 1\n? {b: 1}\n: 2\n",
    "NaN": "a: [.nan]",
    "infinite": "a: {b: 1e999}",
    "UTF-16": "a: 1".encode("utf-16"),
    "NUL": "a: \0",
    "month 13": "a: 2020-13-01",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_is_refused(read, text):
    with pytest.raises(ProbsegError) as caught:
        read(text)
    assert caught.value.code == "E_PARSE" and caught.value.message.isprintable()


def test_a_key_that_comes_twice_is_named_with_its_line(read):
    with pytest.raises(ProbsegError, match="the key 'max_epochs' twice in the block at line 2"):
        read("trainer:\n  max_epochs: 1\n  devices: 1\n  max_epochs: 2\n")


def test_too_large_a_file(read):
    with pytest.raises(ProbsegError, match="E_TOO_LARGE"):
        read("#" * (2**20 + 1))


def test_too_many_values(read, monkeypatch):
    monkeypatch.setattr(strict_yaml, "_MOST_NODES", 1_000)
    read("[" + "0," * 900 + "]")
    for text in ("[" + "0," * 1_100 + "]", "a: &a [0, 0, 0, 0]\nb: [" + "*a, " * 300 + "]"):
        with pytest.raises(ProbsegError, match=r"E_PARSE: .* beyond 1000 values"):
            read(text)


def test_what_is_too_long_is_not_read_to_its_end(read, monkeypatch):
    read_nodes = []
    compose = yaml.SafeLoader.compose_node
    monkeypatch.setattr(yaml.SafeLoader, "compose_node", lambda *args: read_nodes.append(0) or compose(*args))
    with pytest.raises(ProbsegError, match="E_PARSE"):
        read("[" + "0," * 50_000 + "]")
    assert len(read_nodes) <= strict_yaml._MOST_NODES


texts = st.text("abe1-.: #'\u00e9", max_size=6)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
plain = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@given(plain)
@example("1e5")
@example({"-1.5E-3": "no"})
def test_what_is_written_is_read_back(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "law.yaml"
    path.write_text(yaml_text({"it": data}), encoding="utf-8")
    assert read_yaml(path) == {"it": data}
