"""What a family may ask of a network beyond calling it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["DeepNetwork", "FeatureNetwork", "LinearHead", "PyramidNetwork"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network whose last step can be taken apart: ``forward(x) == head(features(x))`` up to padding.

    Attributes:
        in_channels: channels of the image.
        num_classes: channels of the logits.
        feature_channels: channels of ``features``.
        dimensions: 2 or 3.
    """

    in_channels: int
    num_classes: int
    feature_channels: int
    dimensions: int

    def features(self, image: Tensor) -> Tensor:
        """``(batch, channels, *space)`` to ``(batch, feature_channels, *folded)``."""

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, classes, *space)`` of the image's size."""


@runtime_checkable
class LinearHead(FeatureNetwork, Protocol):
    """A network whose head is a 1 x 1 convolution: ``head(f, space) == to_voxels(classify(f), space)``.

    Many readings of an image are then many times cheaper, see `probseg.networks.logits_under`.

    Attributes:
        classify: the convolution, with a bias.
    """

    classify: nn.Module

    def to_voxels(self, logits: Tensor, space: tuple[int, ...]) -> Tensor:
        """Logits of positions ``(batch, k, *folded)`` to those of voxels ``(batch, classes, *space)``; linear."""


@runtime_checkable
class DeepNetwork(Protocol):
    """A network whose coarser decoder levels can be trained, too: deep supervision (Lee et al. 2015, arXiv:1409.5185).

    A family's loss asks for all levels in training and for the network's own answer everywhere else. Without deep
    supervision ``deep_logits`` gives the one finest level, so that a loss needs no case for it:

        levels = network.deep_logits(image) if isinstance(network, DeepNetwork) else [network(image)]
        terms = [loss(logits, coarsened(labels, k, d), coarsened(rated, k, d)) for k, logits in enumerate(levels)]
        total = sum(w * term for w, term in zip(level_weights(len(levels)), terms))

    with `probseg.networks.coarsened` and `probseg.networks.level_weights`; draw a random rater before, once for all
    levels.
    """

    def deep_logits(self, image: Tensor) -> list[Tensor]:
        """Logits of each decoder level, finest first.

        Entry 0 is ``forward(image)``; entry k has shape ``(batch, classes, *ceil(space / 2**k))``.
        """


@runtime_checkable
class PyramidNetwork(FeatureNetwork, Protocol):
    """A network with a decoder of several levels, each twice as fine as the one before.

    Attributes:
        pyramid_channels: channels of the levels, coarse first.
        fold: how many voxels along each axis share a position of the finest level; a power of 2.
    """

    pyramid_channels: tuple[int, ...]
    fold: int

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """Features of every level ``(batch, channels, *grid)``, coarse first; the last are ``features(image)``."""
