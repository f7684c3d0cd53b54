"""The evidence lower bound, weighted and with free bits."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models.bounds import Evidence, EvidenceBound

# two images, the first with two masks: one image's masks share its half
EVIDENCE = Evidence(
    log_likelihood=torch.tensor([[-10.0, -30.0, -8.0]]),
    log_prior=torch.zeros(1, 3),
    log_posterior=torch.zeros(1, 3),
    kl=torch.tensor([[1.0, 0.2], [3.0, 0.0], [2.0, 0.1]]),
    weight=torch.tensor([0.25, 0.25, 0.5]),
)


def test_hand_worked():
    terms = EvidenceBound()(EVIDENCE)
    assert terms["reconstruction"].item() == pytest.approx((20 + 8) / 2)
    assert terms["kl"].item() == pytest.approx((2 + 2) / 2 + (0.1 + 0.1) / 2)
    assert terms["loss"].item() == pytest.approx(14 + 2.1)
    assert EvidenceBound(beta=10.0)(EVIDENCE)["loss"].item() == pytest.approx(14 + 21)


def test_free_bits_are_free_in_value_and_gradient():
    kl = EVIDENCE.kl.clone().requires_grad_()
    terms = EvidenceBound(free_bits=0.5)(Evidence(*(kl if n == "kl" else v for n, v in vars(EVIDENCE).items())))
    assert terms["loss"].item() == pytest.approx(14 + 2 + 0.5)  # the second dimension has 0.1 and pays 0.5
    assert terms["kl"].item() == pytest.approx(2.1)
    terms["loss"].backward()
    assert kl.grad.tolist() == [[0.25, 0], [0.25, 0], [0.5, 0]]


def test_images_that_nobody_rated_have_no_free_bits():
    nobody = Evidence(*(torch.zeros(3) if n == "weight" else v for n, v in vars(EVIDENCE).items()))
    assert EvidenceBound(free_bits=0.5)(nobody)["loss"].item() == 0


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"free_bits": -0.1}])
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="beta and free_bits must be at least 0"):
        EvidenceBound(**wrong)
