"""Networks: an image in, logits (or the parameters of a Gaussian) out, and nothing else.

Any network of another library goes in by its class path. A family that needs features asks for the two parts of
`FeatureNetwork`, which `UNet` has.
"""

from __future__ import annotations

from probseg.networks.gaussian import GaussianEncoder
from probseg.networks.latent import LatentCombiner
from probseg.networks.protocol import FeatureNetwork
from probseg.networks.unet import UNet

__all__ = ["FeatureNetwork", "GaussianEncoder", "LatentCombiner", "UNet"]
