"""Any network of another library as one that a latent-variable family can use."""

from __future__ import annotations

from torch import Tensor, nn

from probseg.errors import ProbsegError
from probseg.networks.blocks import CONV

__all__ = ["Adapted"]


class Adapted(nn.Module):
    """A network of any library with a head of its own: a learnt convolution makes logits of the features that it gives.

    `Deterministic` takes any network that gives logits as it is. Families that change features (`ProbabilisticUNet`,
    `StochasticSegmentation` and others) ask for `FeatureNetwork`, which this makes of it: let the network give more
    channels than there are classes.

        network:
          class_path: probseg.networks.Adapted
          init_args:
            network: {class_path: monai.networks.nets.BasicUNet, init_args: {spatial_dims: 2, out_channels: 16}}
            feature_channels: 16
            num_classes: 2

    Args:
        network: ``(batch, in_channels, *space)`` to ``(batch, feature_channels, *space)``.
        feature_channels: channels that it gives.
        num_classes: channels of the logits, background included.
        in_channels: channels of the image.
        dimensions: 2 or 3.
    """

    def __init__(
        self,
        network: nn.Module,
        feature_channels: int,
        num_classes: int = 2,
        in_channels: int = 1,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        if dimensions not in CONV or feature_channels < 1 or num_classes < 2:
            raise ProbsegError(
                "E_SCHEMA",
                "Adapted needs 2 or 3 dimensions, feature_channels >= 1 and num_classes >= 2, but got "
                f"{dimensions}, {feature_channels} and {num_classes}",
            )
        self.network = network
        self.feature_channels = feature_channels
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.dimensions = dimensions
        self.classify = CONV[dimensions](feature_channels, num_classes, 1)

    def features(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, feature_channels, *space)``."""
        features = self.network(image)
        expected = (len(image), self.feature_channels, *image.shape[2:])
        if not isinstance(features, Tensor) or tuple(features.shape) != expected:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"the adapted {type(self.network).__name__} must give features of shape {expected} for this image, but "
                f"gave {found}; set feature_channels to the channels that it gives",
            )
        return features

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, num_classes, *space)``."""
        return self.to_voxels(self.classify(features), space)

    def to_voxels(self, logits: Tensor, space: tuple[int, ...]) -> Tensor:
        """Logits of positions, which are voxels already."""
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to logits ``(batch, num_classes, *space)``."""
        return self.head(self.features(image), tuple(image.shape[2:]))
