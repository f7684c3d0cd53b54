import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from probseg.errors import ProbsegWarning, gathered_warnings, held_warnings, warn


def test_each_thread_gathers_its_own():
    both = Barrier(2)

    def work(name):
        with gathered_warnings() as gathered:
            both.wait()
            warn("W_TEST", name)
            both.wait()
        return [w.message for w in gathered]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["one", "other"])) == [["one"], ["other"]]


def test_outside_of_a_block_warnings_are_shown():
    with gathered_warnings() as gathered:
        warn("W_TEST", "inside\nof it")
    assert [str(w) for w in gathered] == ["W_TEST: inside of it"]
    with pytest.warns(ProbsegWarning, match="W_TEST: outside"):
        warn("W_TEST", "outside")


def test_an_error_stands_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="the error"), held_warnings() as held:
            warn("W_TEST", "held back")
            raise ValueError("the error")
    assert held == []
