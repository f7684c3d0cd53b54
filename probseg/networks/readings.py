"""Logits of many latents from features that are computed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.networks.latent import LatentCombiner
from probseg.networks.protocol import FeatureNetwork, LinearHead

__all__ = ["logits_under"]

_BLOCK = 4096  # positions whose hidden channels stay in a processor core's own memory between layers


def logits_under(
    network: FeatureNetwork, combiner: LatentCombiner, features: Tensor, latent: Tensor, space: tuple[int, ...]
) -> Tensor:
    """Logits of an image's features under each latent, ``(readings, batch, classes, *space)``.

    This is ``network.head(combiner(features, latent), space)``. Where nothing is learnt, on the processor and with a
    `LinearHead`, it is computed otherwise, equal to rounding: the combiner's last convolution and the head are one
    linear map W of the hidden channels h, so that the head of the features is computed once and a reading costs

        logits = head(f) + W relu(B relu(A f + a z) + b),

    block by block of positions. With 24 channels and two classes that is 4/9 of the multiplications, and nothing of a
    reading but its logits passes through main memory.

    Args:
        network: with the head.
        combiner: of the same network.
        features: ``(batch, channels, *folded)``.
        latent: ``(readings, batch or 1, latent)``.
        space: of the image.
    """
    plain = features.device.type == "cpu" and features.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if plain and not torch.is_grad_enabled() and isinstance(network, LinearHead) and _is_pointwise(network.classify):
        return _by_blocks(network, combiner, features, latent, space)
    # sizes, not len(): a graph that is exported keeps them free
    return network.head(combiner(features, latent), space).unflatten(0, (latent.shape[0], features.shape[0]))


def _is_pointwise(layer: nn.Module) -> bool:
    convolution = isinstance(layer, nn.Conv2d | nn.Conv3d) and set(layer.kernel_size) == {1} and layer.groups == 1
    return convolution and layer.bias is not None


def _by_blocks(
    network: LinearHead, combiner: LatentCombiner, features: Tensor, latent: Tensor, space: tuple[int, ...]
) -> Tensor:
    readings, images, folded = len(latent), len(features), features.shape[2:]
    into, change = _matrix(combiner.from_features), _matrix(combiner.to_features)
    between, classify = _matrix(combiner.between), _matrix(network.classify)
    hidden, positions = len(into[0]), folded.numel()
    whole = classify[0] @ change[0]
    # (batch, hidden + outputs, positions): what comes of the features alone
    shared = torch.baddbmm(
        torch.cat([into[1], classify[1] + classify[0] @ change[1]])[None, :, None],
        torch.cat([into[0], classify[0]]).expand(images, -1, -1),
        features.reshape(images, features.shape[1], positions),
    )
    middle = torch.cat([between[0], between[1][:, None]], dim=1)  # the bias multiplies a row of ones
    bias = combiner.from_latent(latent.to(shared.dtype)).expand(readings, images, hidden)[..., None]
    first = shared.new_ones(hidden + 1, min(_BLOCK, positions))
    second = shared.new_empty(hidden, first.shape[1])
    answer = shared.new_empty(images, len(whole), positions)
    logits: Tensor | None = None
    for k in range(readings):
        for i in range(images):
            for start in range(0, positions, _BLOCK):
                part = slice(start, min(start + _BLOCK, positions))
                size = part.stop - part.start
                torch.add(shared[i, :hidden, part], bias[k, i], out=first[:hidden, :size])
                first[:hidden, :size].clamp_(min=0)
                torch.mm(middle, first[:, :size], out=second[:, :size])
                second[:, :size].clamp_(min=0)
                answer[i, :, part] = torch.addmm(shared[i, hidden:, part], whole, second[:, :size])
        voxels = network.to_voxels(answer.unflatten(2, folded), space)
        if logits is None:
            logits = voxels.new_empty(readings, *voxels.shape)
        logits[k] = voxels
    assert logits is not None  # there is at least one reading
    return logits


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight ``(outputs, inputs)`` and bias of a 1 x 1 convolution."""
    assert isinstance(layer.weight, Tensor) and isinstance(layer.bias, Tensor)  # SWAG's are no parameters
    return layer.weight.flatten(1), layer.bias
