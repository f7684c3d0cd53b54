"""Networks: an image in, logits (or the parameters of a Gaussian) out, and nothing else.

Any network of another library goes in by its class path. A family that needs features asks for the two parts of
`FeatureNetwork`, which `UNet`, `L3UNet` and `PSPNet` have and `Adapted` gives to any other; one that trains coarser
levels asks for `DeepNetwork`.
"""

from __future__ import annotations

from probseg.networks.adapted import Adapted
from probseg.networks.concrete_dropout import ConcreteDropout
from probseg.networks.confusion import ConfusionMatrices
from probseg.networks.deep import coarsened, level_weights
from probseg.networks.gaussian import GaussianEncoder
from probseg.networks.l3_unet import L3UNet
from probseg.networks.ladder import LatentLadder
from probseg.networks.latent import LatentCombiner
from probseg.networks.low_rank import LowRankHead
from probseg.networks.mask_encoder import MaskEncoder
from probseg.networks.protocol import DeepNetwork, FeatureNetwork, LinearHead, PyramidNetwork
from probseg.networks.pspnet import PSPNet
from probseg.networks.readings import logits_under
from probseg.networks.styles import RaterStyles
from probseg.networks.unet import UNet

__all__ = [
    "Adapted",
    "ConcreteDropout",
    "ConfusionMatrices",
    "DeepNetwork",
    "FeatureNetwork",
    "GaussianEncoder",
    "L3UNet",
    "LatentCombiner",
    "LatentLadder",
    "LinearHead",
    "LowRankHead",
    "MaskEncoder",
    "PSPNet",
    "PyramidNetwork",
    "RaterStyles",
    "UNet",
    "coarsened",
    "level_weights",
    "logits_under",
]
