"""Batch norm's statistics estimated anew from images of the new site, without masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from probseg.adapting.batches import batches_of
from probseg.adapting.collected_weights import require_own_weights
from probseg.adapting.method import AdaptationMethod, Adapted
from probseg.adapting.site_data import SiteData
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.inference.scan import space_axes
from probseg.models import SegmentationModule
from probseg.progress import followed

__all__ = ["NormalisationStatistics", "mixed"]

_SETTLED = 1e-4  # standard deviations, or shares of the variance, that tell nothing any more


class NormalisationStatistics(AdaptationMethod):
    """Running means and variances of batch norm become a mixture of those of the source and of the new site.

    Schneider et al. (2020), arXiv:2006.16971: with n images of the new site, and the source counting as N,

        mean = N / (N + n) mean_source + n / (N + n) mean_target,

    and the variance likewise. A scanner that is darker, noisier or blurred shifts these statistics, and this takes the
    shift back; no weight changes. The statistics of a layer are those of all images together under the statistics that
    the layers before it end up with. Each pass over the images sets one layer more for good, and passes go on until
    nothing changes: setting all layers at once would take a shift back in every layer that it reaches, several times
    over.

    **Traps.** What differs between sites in truth, such as how many patients are ill, is taken back as well. A network
    that was trained on patches about what raters drew has the statistics of such patches; whole slices of its own site
    shift them, too.

    Args:
        pseudo_count: N, how many images the source's statistics weigh; 0 to forget them.
        images: how many images (slices, or windows of a 3-D network) are read at most; each is predicted once for every
            batch norm that lies one behind the other.
        batch_size: images a call of the network; changes nothing but speed.
    """

    labelled = False

    def __init__(self, pseudo_count: float = 16.0, images: int = 64, batch_size: int = 8) -> None:
        if not 0 <= pseudo_count < float("inf") or min(images, batch_size) < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "NormalisationStatistics needs pseudo_count of at least 0 and images and batch_size of at least 1, but "
                f"they are {pseudo_count}, {images} and {batch_size}",
            )
        self.pseudo_count = pseudo_count
        self.images = images
        self.batch_size = batch_size

    def __call__(self, model: SegmentationModule, site: SiteData, seed: int) -> Adapted:
        """Estimate and set the statistics of every batch norm that prediction runs through."""
        require_own_weights(model, type(self).__name__)
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        if not norms:
            raise ProbsegError(
                "E_USAGE",
                f"this {type(model).__name__} has no batch norm, whose statistics NormalisationStatistics estimates; "
                "take EntropyMinimisation or FineTune",
            )
        assert model.info is not None
        images = site.images(model.info, space_axes(model), self.images, seed)
        source = [_statistics(norm) for norm in norms]
        reached = [False] * len(norms)
        for _ in range(len(norms) + 1):
            before = [_statistics(norm) for norm in norms]
            seen = self._measured(model, norms, images)
            reached = [moments.count > 0 for moments in seen]
            for norm, moments, of_source in zip(norms, seen, source, strict=True):
                if moments.count:
                    pairs = zip(of_source, moments.both, strict=True)
                    _set(norm, [mixed(a, b, self.pseudo_count, len(images)) for a, b in pairs])
            if max(_changes(norms, before)) < _SETTLED:
                break
        return Adapted({"images": len(images), "layers": sum(reached), "shift": _shift(norms, source, reached)})

    def _measured(
        self, model: SegmentationModule, norms: Sequence[_BatchNorm], images: Sequence[Tensor]
    ) -> list[_Moments]:
        """What comes into each batch norm, over all images."""
        seen = [_Moments() for _ in norms]
        with torch.no_grad(), _watched(norms, seen):
            for batch in followed(batches_of(images, self.batch_size), -(-len(images) // self.batch_size), "batches"):
                model(batch, Draws(1))
        return seen


def mixed(source: Tensor, target: Tensor, pseudo_count: float, images: int) -> Tensor:
    """``N / (N + n) source + n / (N + n) target``, N the pseudo-count and n the number of images.

    Example:
        >>> float(mixed(torch.tensor(1.0), torch.tensor(5.0), 12, 4))
        2.0
    """
    share = images / (pseudo_count + images)
    return (1 - share) * source + share * target


class _Moments:
    """Mean and variance of every channel over batches, in float64 (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(0, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Count ``(batch, channels, *space)`` in."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x.float(), dim=axes, correction=0)
        number = x.numel() // x.shape[1]
        variance, mean = variance.double().cpu(), mean.double().cpu()
        if not self.count:
            self.mean, self.squares = torch.zeros_like(mean), torch.zeros_like(mean)
        total = self.count + number
        before = mean - self.mean
        self.squares = self.squares + variance * number + before**2 * (self.count * number / total)
        self.mean = self.mean + before * (number / total)
        self.count = total

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """Mean and variance."""
        return self.mean, self.squares / self.count


@contextmanager
def _watched(norms: Sequence[_BatchNorm], seen: Sequence[_Moments]) -> Iterator[None]:
    def watching(moments: _Moments) -> Any:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            moments.add(args[0])

        return look

    handles = [norm.register_forward_pre_hook(watching(m)) for norm, m in zip(norms, seen, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean.double().cpu(), norm.running_var.double().cpu()


def _set(norm: _BatchNorm, statistics: Sequence[Tensor]) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    for kept, value in zip((norm.running_mean, norm.running_var), statistics, strict=True):
        kept.copy_(value)


def _changes(norms: Sequence[_BatchNorm], before: Sequence[tuple[Tensor, Tensor]]) -> Iterator[float]:
    """The largest change of a mean, in standard deviations, and of a variance, as a share, in each layer."""
    for norm, (mean, variance) in zip(norms, before, strict=True):
        new_mean, new_variance = _statistics(norm)
        yield float(((new_mean - mean).abs() / (variance + norm.eps).sqrt()).max())
        yield float(((new_variance - variance).abs() / (variance + norm.eps)).max())


def _shift(norms: Sequence[_BatchNorm], source: Sequence[tuple[Tensor, Tensor]], reached: Sequence[bool]) -> float:
    """Root mean square over channels of how far the means moved, in standard deviations of the source."""
    moved = [
        ((_statistics(norm)[0] - mean) / (variance + norm.eps).sqrt())
        for norm, (mean, variance), counts in zip(norms, source, reached, strict=True)
        if counts
    ]
    return float(torch.cat(moved).square().mean().sqrt()) if moved else 0.0
