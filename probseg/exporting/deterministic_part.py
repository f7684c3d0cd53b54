"""What a model computes once its random numbers are given: the part of it that a graph can hold."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models import SWAG, Ensemble, MonteCarloDropout, SegmentationModule, SnapshotEnsemble
from probseg.models.rater_aware import RaterAware
from probseg.models.wrapper import Wrapper

__all__ = ["DeterministicPart", "GivenNoise"]


@dataclass(frozen=True, eq=False)
class GivenNoise(Draws):
    """Draws whose noise is an input rather than random numbers.

    Attributes:
        given: ``(count, size)``; None for zeros.
        asked: the sizes that were asked for so far.
    """

    given: Tensor | None = None
    asked: list[int] = field(default_factory=list)

    def noise(self, size: int) -> Tensor:
        """The given noise."""
        self.asked.append(size)
        return torch.zeros(self.count, size) if self.given is None else self.given

    def generator(self, *path: int) -> torch.Generator:
        """Refused: what draws its own random numbers has no deterministic part of this kind."""
        raise ProbsegError("E_NO_ONNX", "this family draws random numbers that no input of a graph can stand for")

    def share(self, member: int, members: int) -> Draws:
        """All of it: members are asked with the same noise."""
        return self


class DeterministicPart(nn.Module):
    """A model as a function of an image and, in the latent-variable families, of the noise of its readings.

    Intensities are normalised within, as `DatasetInfo.normalise` does it, and the calibrator of a calibrated model
    follows at the end. What it computes, by family:

    - `Deterministic`: its one answer.
    - latent-variable families: the reading at each row of ``noise``; a row of zeros is the one in the middle.
    - families of named raters: one reading a rater, in the order of their names in ``model.json``; with a population,
      the strangers at each row of ``noise``.
    - `MonteCarloDropout`: the network with no channel dropped. `SWAG`: the mean of the weights. `TestTimeAugmentation`:
      the image as it is.
    - ensembles: all members, each with the same noise.

    Args:
        model: in evaluation mode on the processor, bound to its label set.
    """

    def __init__(self, model: SegmentationModule) -> None:
        super().__init__()
        assert model.info is not None  # load_model binds it
        self.low, high = model.info.window
        self.scale = 1.0 / (high - self.low)
        self.model = deepcopy(model)
        for part in self.model.modules():
            if isinstance(part, SWAG) and int(part.collected):
                part.member.load_state_dict(part.mean_weights(), strict=False)
        self.channels, self.axes = _image_of(self.model)
        self.noise_size = self._noise_size()

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """``(batch, channels, *space)`` as in the file (HU for CT), float32, to logits.

        Args:
            image: not normalised.
            noise: ``(readings, noise_size)`` standard normal; None where ``noise_size`` is 0.

        Returns:
            ``(models, readings, batch, classes, *space)``.
        """
        seen = ((image - self.low) * self.scale).clamp(0.0, 1.0)
        given = GivenNoise(1 if noise is None else noise.shape[0], given=noise)
        answer = self._answer(self.model, seen, given)
        return answer.logits if self.model.calibrator is None else self.model.calibrator(answer, seen).logits

    def _answer(self, model: nn.Module, image: Tensor, draws: Draws) -> SegmentationDistribution:
        if isinstance(model, MonteCarloDropout):
            return SegmentationDistribution(model.network(image)[None, None])
        if isinstance(model, Ensemble):
            return self._together(model.members, image, draws)
        if isinstance(model, SnapshotEnsemble) and int(model.taken):
            return self._together(list(model.snapshots)[: int(model.taken)], image, draws)
        if isinstance(model, Wrapper):
            return self._answer(model.member, image, draws)
        if isinstance(model, RaterAware) and model.rater is None and not getattr(model, "population", False):
            return self._of_every_rater(model, image, draws)
        assert isinstance(model, SegmentationModule)
        answer: SegmentationDistribution = model.forward(image, draws)
        return answer

    def _together(self, members: Iterable[nn.Module], image: Tensor, draws: Draws) -> SegmentationDistribution:
        # not SegmentationDistribution.cat, which compares sizes that are free in a graph
        return SegmentationDistribution(torch.cat([self._answer(m, image, draws).logits for m in members]))

    def _of_every_rater(self, model: RaterAware, image: Tensor, draws: Draws) -> SegmentationDistribution:
        readings = []
        try:
            for rater in model.known.names:
                model.choose_rater(rater)
                readings.append(model.forward(image, draws).logits)
        finally:
            model.choose_rater(None)
        return SegmentationDistribution(torch.cat(readings, dim=1))

    def _noise_size(self) -> int:
        """How long a row of noise must be; 0 where none is asked for."""
        draws = GivenNoise(1)
        with torch.no_grad():
            self._answer(self.model, torch.zeros(1, self.channels, *(32,) * self.axes), draws)
        sizes = set(draws.asked)
        if len(sizes) > 1:
            raise ProbsegError("E_NO_ONNX", "the members of this model take noise of different lengths")
        return sizes.pop() if sizes else 0


def _image_of(model: nn.Module) -> tuple[int, int]:
    """Channels of the image and axes of its space, as the first convolution takes them."""
    network = next((m for m in model.modules() if hasattr(m, "in_channels") and hasattr(m, "num_classes")), None)
    first = next((m for m in model.modules() if isinstance(m, _ConvNd)), None)
    if first is None:
        raise ProbsegError("E_NO_ONNX", "the network has no convolution, so the axes of its image cannot be told")
    return (first if network is None else network).in_channels, first.weight.ndim - 2  # type: ignore[return-value]
