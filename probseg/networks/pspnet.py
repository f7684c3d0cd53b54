"""A pyramid scene parsing network: what is here is judged by what is in the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.errors import ProbsegError
from probseg.networks.blocks import CONV, POOL, channels_last
from probseg.networks.heads import expected_logits

__all__ = ["PSPNet"]

_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MEAN: dict[int, type[nn.Module]] = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
_DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
_SMOOTH = {2: "bilinear", 3: "trilinear"}
_STRIDE = 8  # of the encoder


class _Residual(nn.Module):
    """Two 3 x 3 convolutions round a shortcut (He et al. 2016, arXiv:1512.03385), dilated instead of strided."""

    def __init__(self, inputs: int, outputs: int, dimensions: int, stride: int, dilation: int) -> None:
        super().__init__()
        conv, norm = CONV[dimensions], _NORM[dimensions]
        self.conv1 = conv(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(conv(inputs, outputs, 1, stride, bias=False), norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        changed = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        return F.relu(changed + self.shortcut(x), inplace=True)


class _Pyramid(nn.Module):
    """Means over coarse grids of the image, each brought to few channels and put beside the features."""

    def __init__(self, inputs: int, bins: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.mode = _SMOOTH[dimensions]
        each = max(inputs // len(bins), 1)
        self.grids = nn.ModuleList()
        for size in bins:
            layers: list[nn.Module] = [_MEAN[dimensions](size), CONV[dimensions](inputs, each, 1, bias=size == 1)]
            if size > 1:  # one value a channel and image has no spread that batch norm could learn
                layers.append(_NORM[dimensions](each))
            self.grids.append(nn.Sequential(*layers, nn.ReLU(inplace=True)))
        self.outputs = inputs + each * len(bins)

    def forward(self, x: Tensor) -> Tensor:
        space = x.shape[2:]
        means = [F.interpolate(grid(x), size=space, mode=self.mode, align_corners=False) for grid in self.grids]
        return torch.cat([x, *means], dim=1)


class PSPNet(nn.Module):
    """Pyramid scene parsing network (Zhao et al. 2017, arXiv:1612.01105) with a residual encoder.

    The encoder's last two stages are dilated instead of strided, so that features have an eighth of the resolution;
    beside them stand means over grids of 1, 2, 3 and 6 cells an axis, which tell each position what the whole image
    shows. The second model of the opacity study was one of these, better at telling opacities apart and worse at their
    borders. The paper's auxiliary loss is left out.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the logits, background included.
        channels: width of each of the encoder's four stages; 64, 128, 256, 512 are those of ResNet-18 and 34.
        blocks: residual blocks of each stage; 2, 2, 2, 2 for ResNet-18, 3, 4, 6, 3 for ResNet-34.
        bins: cells along each axis of each grid of the pyramid.
        width: channels of the features.
        dimensions: 2 or 3.
        dropout: probability of dropping a channel of the features; the paper's is 0.1.
        foreground: expected share of foreground, from which the head's bias starts.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        channels: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (2, 2, 2, 2),
        bins: Sequence[int] = (1, 2, 3, 6),
        width: int = 64,
        dimensions: int = 2,
        dropout: float = 0.1,
        foreground: float = 0.03,
    ) -> None:
        super().__init__()
        if dimensions not in CONV or num_classes < 2 or not 0 < foreground < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "a PSPNet needs 2 or 3 dimensions, num_classes >= 2 and 0 < foreground < 1, but got "
                f"{dimensions}, {num_classes} and {foreground}",
            )
        if len(channels) != 4 or len(blocks) != 4 or min(*blocks, *bins, width) < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "the encoder of a PSPNet has four stages, each with a width and at least one block, and bins and width "
                f"are positive, but they are {list(channels)}, {list(blocks)}, {list(bins)} and {width}",
            )
        conv, norm = CONV[dimensions], _NORM[dimensions]
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.feature_channels = width
        self.dimensions = dimensions
        self.foreground = foreground
        layers: list[nn.Module] = [
            conv(in_channels, channels[0], 7, 2, 3, bias=False),
            norm(channels[0]),
            nn.ReLU(inplace=True),
            POOL[dimensions](3, 2, 1),
        ]
        inputs = channels[0]
        for outputs, count, stride, dilation in zip(channels, blocks, (1, 2, 1, 1), (1, 1, 2, 4), strict=True):
            for k in range(count):
                layers.append(_Residual(inputs, outputs, dimensions, stride if k == 0 else 1, dilation))
                inputs = outputs
        self.encoder = nn.Sequential(*layers)
        self.pyramid_pooling = _Pyramid(inputs, bins, dimensions)
        self.fuse = nn.Sequential(
            conv(self.pyramid_pooling.outputs, width, 3, padding=1, bias=False),
            norm(width),
            nn.ReLU(inplace=True),
            _DROPOUT[dimensions](dropout) if dropout > 0 else nn.Identity(),
        )
        self.classify = conv(width, num_classes, 1)
        self.reset_parameters()
        self.to(memory_format=channels_last(dimensions))  # type: ignore[call-overload]  # missing in torch's stubs

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start the head at the expected shares of background and foreground; the other layers start as torch's do."""
        self.classify.get_parameter("bias").copy_(expected_logits(self.num_classes, self.foreground))

    def features(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, feature_channels, *ceil(space / 8))``."""
        if image.ndim != self.dimensions + 2 or image.shape[1] != self.in_channels:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"a PSPNet of {self.dimensions} dimensions and {self.in_channels} channels cannot take images of shape "
                f"{tuple(image.shape)}, (batch, channels, *space); set its dimensions and in_channels, or data.slices",
            )
        x = self.encoder(image.contiguous(memory_format=channels_last(self.dimensions)))
        out: Tensor = self.fuse(self.pyramid_pooling(x))
        return out

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, num_classes, *space)``, smoothly upsampled."""
        return self.to_voxels(self.classify(features), space)

    def to_voxels(self, logits: Tensor, space: tuple[int, ...]) -> Tensor:
        """Logits of positions, smoothly upsampled and cropped to the size of the image."""
        reach = [n * _STRIDE for n in logits.shape[2:]]  # an image whose size is no multiple of 8 ends before this
        logits = F.interpolate(logits, size=reach, mode=_SMOOTH[self.dimensions], align_corners=False)
        return logits[(slice(None), slice(None), *(slice(0, n) for n in space))]

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to logits ``(batch, num_classes, *space)``."""
        return self.head(self.features(image), tuple(image.shape[2:]))
