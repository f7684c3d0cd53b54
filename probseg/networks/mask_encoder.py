"""Image and mask to one vector: what the posteriors of several latents share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.networks.folding import fold, pad_to_multiple
from probseg.networks.ladder import Pointwise

__all__ = ["MaskEncoder"]


class MaskEncoder(nn.Module):
    """Summarises an image with a rater's mask at several scales: mean and maximum over space at each, side by side.

    A mask of a few dozen voxels hardly moves a mean over the whole image; the maximum sees it. Both are normalised over
    their channels. The norms between convolutions are group norms, so that nothing depends on who else is in a batch.

    Args:
        in_channels: image channels plus one a class.
        channels: width of each scale.
        dimensions: 2 or 3.
        fold: the input is folded by this factor first.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int] = (16, 32, 48), dimensions: int = 2, fold: int = 4
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.embed = Pointwise(in_channels * fold**dimensions, channels[0])  # a 3 x 3 kernel would be most of the cost
        self.scales = nn.ModuleList()
        for inputs, outputs in zip((channels[0], *channels[:-1]), channels, strict=True):
            layers: list[nn.Module] = []
            for width in (inputs, outputs):
                layers += [conv(width, outputs, 3, padding=1), nn.GroupNorm(1, outputs), nn.ReLU(inplace=True)]
            self.scales.append(nn.Sequential(*layers))
        self.pool = (nn.AvgPool2d if dimensions == 2 else nn.AvgPool3d)(2)
        self.norms = nn.ModuleList(nn.LayerNorm(outputs) for outputs in channels for _ in range(2))
        self.fold = fold
        self.multiple = fold * 2 ** (len(channels) - 1)
        self.size = 2 * sum(channels)
        if dimensions == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, size)`` float32."""
        x = F.relu(self.embed(fold(pad_to_multiple(x, self.multiple), self.fold)))
        pooled: list[Tensor] = []
        for k, scale in enumerate(self.scales):
            x = scale(x if k == 0 else self.pool(x))
            space = tuple(range(2, x.ndim))
            pooled += [x.float().mean(dim=space), x.float().amax(dim=space)]
        with torch.autocast(x.device.type, enabled=False):
            return torch.cat([norm(part) for norm, part in zip(self.norms, pooled, strict=True)], dim=1)
