"""How the learning rate falls."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.errors import ProbsegError
from probseg.models.schedules import Constant, Cosine, MultiStep, Polynomial, share_of_training


def test_by_hand():
    assert [Cosine()(s) for s in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [Cosine(0.2)(s) for s in (0, 0.5, 1)] == pytest.approx([1, 0.6, 0.2])
    assert [Polynomial(2)(s) for s in (0, 0.5, 1)] == pytest.approx([1, 0.25, 0])
    assert Polynomial()(0.75) == pytest.approx(0.25**0.9)
    assert Constant()(0.7) == 1
    assert [MultiStep((0.5, 0.75))(s) for s in (0, 0.49, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert MultiStep((), 0.5)(1) == 1


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([Cosine(), Cosine(0.3), MultiStep(), Polynomial(), Polynomial(3), Constant()]),
)
def test_it_never_rises(a, b, schedule):
    assert 0 <= schedule(max(a, b)) <= schedule(min(a, b)) + 1e-12 <= 1 + 1e-11


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cosine(-0.1),
        lambda: Cosine(2),
        lambda: Polynomial(0),
        lambda: MultiStep((0.5, 0.2)),
        lambda: MultiStep((0.5, 1.2)),
        lambda: MultiStep(factor=0),
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        wrong()


@pytest.mark.parametrize(
    ("steps", "done", "share", "expected"),
    [(10, 5, 0.2, 0.5), (10, 5, 0.7, 0.7), (float("inf"), 5, 0.7, 0.7), (10, 5, 3.0, 1.0), (float("inf"), 5, 0, 0)],
)
def test_the_training_is_over_when_whatever_ends_it_is(steps, done, share, expected):
    trainer = SimpleNamespace(
        estimated_stepping_batches=steps, global_step=done, world_size=1, callbacks=[SimpleNamespace(share=share)]
    )
    assert share_of_training(trainer) == expected
