"""A trained model asked about flipped, turned, brighter and darker versions of the same scan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import load_weights, read_checkpoint
from probseg.models.loading import load_model
from probseg.models.wrapper import Wrapper

__all__ = ["Augmentation", "TestTimeAugmentation"]

_PURPOSE = 1_000_003  # keeps these random numbers apart from those that the member draws with the same seed


@dataclass(frozen=True)
class Augmentation:
    """One change of an image in the plane and in its intensities, and the way back for logits.

    Attributes:
        flips: axes of space that are mirrored, counted from the end.
        transpose: whether rows and columns change places after that; with a flip it is a quarter turn.
        contrast: factor about the image's middle value 0.5.
        brightness: what is added then.
    """

    flips: tuple[int, ...] = ()
    transpose: bool = False
    contrast: float = 1.0
    brightness: float = 0.0

    def change(self, image: Tensor) -> Tensor:
        """``(batch, channels, *space)`` of 0..1, with rows and columns last, to the same changed."""
        if self.contrast != 1 or self.brightness != 0:
            image = ((image - 0.5) * self.contrast + 0.5 + self.brightness).clamp(0, 1)
        image = image.flip(self.flips) if self.flips else image
        return image.transpose(-1, -2) if self.transpose else image

    def undo(self, logits: Tensor) -> Tensor:
        """Logits ``(..., *space)`` of a changed image to those of the image as it was."""
        logits = logits.transpose(-1, -2) if self.transpose else logits
        return logits.flip(self.flips) if self.flips else logits


class TestTimeAugmentation(Wrapper):
    """Draws of the answer to changed images (Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103).

    Each draw flips, turns, brightens or darkens the image in one way, asks the member, and turns the logits back:
    ``x -> T_k^-1 f(T_k x)``. Where these answers differ the network has not learnt that the change does not matter, so
    they stand on the model axis: a change is one of the models, and the member's own models and readings stay within.
    Draw 0 changes nothing. A change is one function for every slice and window, and only in the plane, for a scan
    upside down is no scan. The eight flips and quarter turns come in an order that the seed shuffles, each once before
    any comes again. Images need not be square, but a network that takes one size only needs ``turns`` off.

    Ask only for changes that training made, too; a network that never saw a flipped lung is wrong about it and not
    uncertain. Nothing is trained: ``probseg fit`` with ``--trainer.max_steps=0`` and the trained run as the member's
    ``warm_start`` makes a run folder of it, and `from_run` makes a model. Without those, ``fit`` trains the member.

    Args:
        member: the model to ask; of any family.
        flips: whether to mirror rows and columns.
        turns: whether to turn by quarter turns.
        contrast: standard deviation of the log of the factor, about the image's middle value 0.5.
        brightness: standard deviation of the offset, as a share of the window; both as
            `probseg.data.transforms.Intensity`.
        models: changes that a member with readings of its own is asked about, each time for an equal share of the
            draws. A member with one answer is asked about as many changes as there are draws.
        draws: as in every family.
    """

    __test__ = False  # pytest takes a class of this name for a test

    def __init__(
        self,
        member: SegmentationModule,
        flips: bool = True,
        turns: bool = True,
        contrast: float = 0.1,
        brightness: float = 0.03,
        models: int = 4,
        draws: int = 16,
    ) -> None:
        super().__init__(member, models, draws)
        if contrast < 0 or brightness < 0:
            raise ProbsegError(
                "E_SCHEMA", f"contrast and brightness must be at least 0, but are {contrast} and {brightness}"
            )
        self.flips = flips
        self.turns = turns
        self.contrast = contrast
        self.brightness = brightness

    @classmethod
    def from_run(cls, path: str | Path, **settings: Any) -> TestTimeAugmentation:
        """The trained model of a run folder or checkpoint with its draws, in evaluation mode.

        Args:
            path: as for `probseg.models.load_model`.
            settings: those of this class but for ``member``.
        """
        member = load_model(path)
        model = cls(member, **{"draws": member.draws.count, **settings})
        assert member.info is not None  # load_model binds it
        model.bind(member.info)
        return model.eval()

    @property
    def _untrained(self) -> bool:
        """Whether this ``fit`` trains nothing."""
        return self._trainer is not None and self._trainer.max_steps == 0

    def setup(self, stage: str) -> None:
        """As in every family; where nothing is trained, the member must be a trained one."""
        if stage == "fit" and self._untrained and self.warm_start is None:
            raise ProbsegError(
                "E_SCHEMA",
                "with max_steps 0 TestTimeAugmentation needs a trained member; name its run as "
                "model.init_args.member.init_args.warm_start",
            )
        super().setup(stage)

    def start_from(self, checkpoint: Path) -> None:
        """Weights of a run of the member's family, for the member; all of them where nothing is trained."""
        if self._untrained:
            load_weights(self.member, read_checkpoint(checkpoint)["state_dict"], checkpoint)
        else:
            super().start_from(checkpoint)

    def augmentation(self, draws: Draws, draw: int) -> Augmentation:
        """The change of draw ``draw``, whatever the image and however many are drawn; draw 0 is none."""
        ways = self._ways()
        order = [0, *(1 + torch.randperm(len(ways) - 1, generator=draws.generator(_PURPOSE))).tolist()]
        flips, transpose = ways[order[draw % len(ways)]]
        if draw == 0:
            return Augmentation()
        factor, offset = torch.randn(2, generator=draws.generator(_PURPOSE, draw)).tolist()
        return Augmentation(flips, transpose, math.exp(self.contrast * factor), self.brightness * offset)

    def _ways(self) -> list[tuple[tuple[int, ...], bool]]:
        """The flips and transpositions that the settings allow; the first does nothing."""
        every = product(((), (-2,), (-1,), (-2, -1)), (False, True))
        return [(flips, transpose) for flips, transpose in every if self._allows(flips, transpose)]

    def _allows(self, flips: tuple[int, ...], transpose: bool) -> bool:
        if self.turns:  # flips and a transposition that are even in number are a turn of the page
            return self.flips or len(flips) % 2 == int(transpose)
        return not transpose and (self.flips or not flips)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """Changes times the member's models along the model axis, and the member's readings."""

        def answer(draw: int, share: Draws) -> SegmentationDistribution:
            augmentation = self.augmentation(draws, draw)
            return SegmentationDistribution(augmentation.undo(self.member(augmentation.change(image), share).logits))

        return self._repeated(draws, answer)
