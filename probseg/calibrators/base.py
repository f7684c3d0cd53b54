"""What is fitted after training so that stated probabilities are those with which raters agree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from probseg.calibrators.objective import marginal_nll
from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution

__all__ = ["Calibrator", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """What a calibrator's parameters depend on.

    Attributes:
        classes: C, background included.
        channels: of the image.
        dimensions: axes of space of the model's network, 2 or 3.
    """

    classes: int
    channels: int
    dimensions: int

    def to_dict(self) -> dict[str, int]:
        """Plain types, for the file of a calibrator."""
        return asdict(self)


class Calibrator(nn.Module, ABC):
    """A change of every draw's logits, fitted on cases that training and testing leave alone.

    Because each draw is changed and not the mean, maps, readings and the volumes of draws go on belonging to one and
    the same distribution. A subclass writes `prepare`, which makes parameters that change nothing yet, and `forward`;
    `fit` minimises `probseg.calibrators.objective.marginal_nll` over its parameters.
    """

    spatial: ClassVar[bool] = False
    """Whether `forward` looks at neighbours, so that it is fitted on patches and not on voxels."""

    steps: ClassVar[int] = 100
    """The most iterations of L-BFGS."""

    @abstractmethod
    def prepare(self, sizes: Sizes) -> None:
        """Make parameters with which `forward` changes nothing.

        Raises:
            ProbsegError: E_SCHEMA where the calibrator is not for such data.
        """

    @abstractmethod
    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """The calibrated distribution, of the same shape.

        Args:
            distribution: ``(models, readings, batch, classes, *space)``.
            image: ``(batch, channels, *space)`` normalised to 0..1.
        """

    def penalty(self, sample: CalibrationSample) -> Tensor | float:
        """What is added to the objective in nats, a pull towards changing nothing."""
        return 0.0

    def fit(self, sample: CalibrationSample) -> None:
        """Find the parameters with the least objective, by L-BFGS with the strong Wolfe conditions."""
        self._minimise(sample, list(self.parameters()))

    def _minimise(self, sample: CalibrationSample, parameters: list[nn.Parameter]) -> None:
        """Over some of the parameters; what makes the objective worse in the end is taken back."""
        before = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.LBFGS(
            parameters, max_iter=self.steps, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = marginal_nll(self(sample.distribution, sample.image), sample) + self.penalty(sample)
            loss.backward(inputs=parameters)
            return loss

        with torch.enable_grad():
            start = float(closure().detach())
            optimizer.step(closure)
            end = float(closure().detach())
        if not end <= start:  # also where it is no number
            for parameter, value in zip(parameters, before, strict=True):
                parameter.data.copy_(value)
        optimizer.zero_grad()
