"""Is the latent in use? An alarm for a latent-variable model whose readings are all alike."""

from __future__ import annotations

from torch import Tensor

from probseg.errors import warn

__all__ = ["CollapseAlarm", "active_units"]

_ACTIVE_NATS = 0.01  # a latent dimension with less KL than this carries nothing
_ACTIVE_VARIANCE = 0.01  # the threshold of Burda et al. (2016)
_PATIENCE = 100


def active_units(kl: Tensor, means: Tensor, free_bits: float) -> Tensor:
    """How many latent dimensions carry something in this step.

    A dimension whose divergence is more than what is free carries information, since it pays for it. Within free bits
    a divergence proves nothing: a posterior that is the same for every mask may have it. There a dimension counts
    where the posterior's mean varies from pair to pair by more than 0.01 (Burda et al. 2016, arXiv:1509.00519,
    section 5.2; here seen from the prior, whose own variation over images is no information about masks).

    Args:
        kl: ``(latent,)`` divergence of each dimension, averaged over the batch, nats.
        means: ``(pairs, latent)`` means of the posteriors where their priors are standard normal.
        free_bits: divergence of a dimension that costs nothing.
    """
    carries = kl > free_bits + _ACTIVE_NATS
    if free_bits and len(means) > 1:
        carries |= (kl > _ACTIVE_NATS) & (means.var(dim=0) > _ACTIVE_VARIANCE)
    elif free_bits:  # of one pair nothing can vary, and the alarm must not come from small batches
        carries = kl > _ACTIVE_NATS
    return carries.sum().float()


class CollapseAlarm:
    """Warns once when no dimension has carried anything for a hundred steps on end.

    It counts steps since the process started and is in no checkpoint: after a resumption the alarm may come up to a
    hundred steps later, and the training itself is the same.
    """

    def __init__(self) -> None:
        self.quiet_steps = 0

    def watch(self, active: Tensor) -> None:
        """Note the `active_units` of one more step."""
        self.quiet_steps = 0 if bool(active) else self.quiet_steps + 1
        if self.quiet_steps == _PATIENCE:
            warn(
                "W_LATENT_COLLAPSE",
                f"no latent dimension has carried information for {_PATIENCE} steps, so all readings are alike; lower "
                "beta, set free_bits, start from a trained deterministic network (warm_start), or train longer",
            )
