"""A decoder with latent vectors at several scales, each of which knows those above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from probseg.errors import ProbsegError

__all__ = ["Choose", "LatentLadder", "Pointwise"]

_LOG_VARIANCE = (-8.0, 4.0)  # so that neither divergence nor samples overflow

Choose = Callable[[int, Tensor, Independent], Tensor]
"""Rung, what it sees ``(batch, readings or 1, width)``, its prior over ``(batch, readings or 1, latent)`` to latents
``(batch, readings, latent)``."""


class LatentLadder(nn.Module):
    """Turns the levels of a decoder, coarse first, into a change of the network's answer under latents of every scale.

    At rung l, with f_l the decoder's features, h_(l-1) what came from the coarser rung and P the mean and maximum over
    space,

        x   = A_l f_l + up(B_l h_(l-1)),        z_l ~ p(z_l | z_<l, image) = N(mu_l(P x), diag sigma_l(P x)^2),
        h_l = relu(C_l * relu(x + sum_i z_li M_li f_l)),

    A, B and M by 1 x 1 and C by 3 x 3 convolutions. Each latent dimension moves the features along a map M_li f_l that
    the image makes, so that one number may push one border of one structure: a latent has no place of its own, and what
    it does has. A and M, which cost most, are computed once an image and the rest, which is narrow, once a reading.

    Args:
        channels: of the decoder's levels, coarse first.
        outputs: channels of the answer at a position of the finest level, for each of ``outputs // patch`` classes the
            voxels that share it.
        patch: voxels that share a position; they start alike, or a grid would show.
        latents: length of the latent vector of each rung, coarse first; rungs below the last of them have none.
        widths: channels of each rung.
        seen: length of what a posterior sees beside the rung, see `posterior`.
        dimensions: 2 or 3.
    """

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        patch: int = 1,
        latents: Sequence[int] = (4, 4, 4),
        widths: Sequence[int] = (32, 32, 24, 8),
        seen: int = 96,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        if len(widths) != len(channels) or not 0 < len(latents) <= len(channels) or min(*latents, *widths) < 1:
            raise ProbsegError(
                "E_SCHEMA",
                f"a decoder of {len(channels)} levels needs as many widths, at least 1 each, and latents for 1 to "
                f"{len(channels)} of them, but widths are {list(widths)} and latents {list(latents)}",
            )
        self.latents = tuple(latents)
        self.widths = tuple(widths)
        lengths = [*latents, *[0] * (len(channels) - len(latents))]
        above = [0, *widths[:-1]]
        self.rungs = nn.ModuleList(
            _Rung(c, a, w, n, seen, dimensions) for c, a, w, n in zip(channels, above, widths, lengths, strict=True)
        )
        self.to_answer = Pointwise(widths[-1], outputs)
        self.patch = patch
        self.reset_parameters()
        if dimensions == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as a latent that is heard at once, and with all voxels of a position alike."""
        nn.init.kaiming_normal_(self.to_answer.weight, nonlinearity="linear")
        for value in (self.to_answer.weight, self.to_answer.bias):
            value.copy_(value[:: self.patch].repeat_interleave(self.patch, dim=0))

    def posterior(self, rung: int, visible: Tensor, prior: Independent, seen: Tensor) -> Independent:
        """q(z_l | z_<l, image, mask), placed and scaled from the prior of the rung.

        With d and s the answers of a linear layer, ``mu_q = mu_p + sigma_p d`` and ``sigma_q = sigma_p exp(s / 2)``
        (Vahdat and Kautz 2020, arXiv:2007.03898): a posterior starts as its prior, and the divergence depends on d and
        s alone.

        Args:
            rung: l.
            visible: what the rung sees, ``(batch, readings or 1, ...)``.
            prior: of the rung.
            seen: ``(batch, readings, seen)`` of the mask and the image.
        """
        layer = self.rungs[rung]
        assert isinstance(layer, _Rung)
        visible = visible.expand(*seen.shape[:2], -1)
        d, s = layer.posterior(torch.cat([visible, seen], dim=2)).chunk(2, dim=2)
        place, scale = prior.base_dist.loc, prior.base_dist.scale
        return Independent(Normal(place + scale * d, scale * (0.5 * s.clamp(*_LOG_VARIANCE)).exp()), 1)

    def forward(self, pyramid: Sequence[Tensor], choose: Choose) -> list[Tensor]:
        """What each rung holds, ``(batch, readings, width, *space)``, coarse first.

        Args:
            pyramid: features of the decoder's levels ``(batch, channels, *space)``, coarse first.
            choose: gives the latents of each rung in turn; it may answer with more readings than it was shown.
        """
        held: list[Tensor] = []
        for k, (rung, features) in enumerate(zip(self.rungs, pyramid, strict=True)):
            held.append(rung(features, held[-1] if held else None, k, choose))
        return held

    def answer(self, finest: Tensor) -> Tensor:
        """What the finest rung holds to ``(batch, readings, outputs, *space)``, to be added to the network's answer."""
        return self.to_answer(finest.flatten(0, 1)).unflatten(0, finest.shape[:2])


class Pointwise(nn.Linear):
    """A 1 x 1 convolution as the product of matrices that it is; torch's own is several times slower on one core."""

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, inputs, *space)`` to ``(batch, outputs, *space)`` with the channels last in memory."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Rung(nn.Module):
    """One scale of the ladder."""

    def __init__(self, channels: int, above: int, width: int, latent: int, seen: int, dimensions: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.width = width
        self.latent = latent
        self.from_features = Pointwise(channels, width)
        self.from_above = Pointwise(above, width, bias=False) if above else None
        self.mix = conv(width, width, 3, padding=1)
        if latent:
            self.maps = Pointwise(channels, latent * width)
            self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
            self.prior = nn.Linear(2 * width, 2 * latent)
            self.posterior = nn.Linear(2 * width + seen, 2 * latent)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with a prior close to a standard normal, and with latents that move much: a small start collapses."""
        for layer in (self.from_above, self.mix):
            if layer is not None:  # torch's start would shrink what the latents do at every rung
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if self.latent:
            nn.init.normal_(self.maps.bias, std=0.5)
            for moments in (self.prior, self.posterior):
                nn.init.normal_(moments.weight, std=0.02)
                nn.init.zeros_(moments.bias)

    def forward(self, features: Tensor, above: Tensor | None, level: int, choose: Choose) -> Tensor:
        """Features ``(batch, channels, *space)`` and the coarser rung to ``(batch, readings, width, *space)``."""
        x = self.from_features(features).unsqueeze(1)
        if above is not None:
            assert self.from_above is not None
            up = F.interpolate(self.from_above(above.flatten(0, 1)), scale_factor=2.0, mode="nearest")
            x = x + up.unflatten(0, above.shape[:2])
        if self.latent:
            x = x + self._moved(features, choose(level, *self._prior(x)))
        hidden = F.relu(x).flatten(0, 1)
        if hidden.ndim == 4:
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        return F.relu(self.mix(hidden)).unflatten(0, x.shape[:2])

    def _prior(self, x: Tensor) -> tuple[Tensor, Independent]:
        """What the rung sees ``(batch, readings or 1, 2 * width)`` and the prior that follows, in float32."""
        hidden = F.relu(x.float())
        space = tuple(range(3, x.ndim))
        with torch.autocast(x.device.type, enabled=False):
            mean, largest = self.norms
            visible = torch.cat([mean(hidden.mean(dim=space)), largest(hidden.amax(dim=space))], dim=2)
            place, log_variance = self.prior(visible).chunk(2, dim=2)
            return visible, Independent(Normal(place, (0.5 * log_variance.clamp(*_LOG_VARIANCE)).exp()), 1)

    def _moved(self, features: Tensor, z: Tensor) -> Tensor:
        """``sum_i z_i M_i f``, ``(batch, readings, width, *space)`` with the channels last in memory."""
        maps = self.maps(features).unflatten(1, (self.latent, self.width)).movedim(2, -1)  # (batch, latent, *space, w)
        moved = torch.bmm(z.to(maps.dtype), maps.flatten(2))  # (batch, readings, space * width)
        return moved.unflatten(2, maps.shape[2:]).movedim(-1, 2)
