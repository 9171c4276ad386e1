"""What a head is trained with: the loss of raw outputs against Z successes of N trials, in torch.

`scaling.calibration.heads` says the same of what is served; the tests hold the two together.
"""

import math
from typing import TYPE_CHECKING

from scaling.calibration.heads import BETA_BINOMIAL, MAX_CONCENTRATION, MIN_CONCENTRATION, MIN_SHAPE, QUANTILE, HeadSpec

if TYPE_CHECKING:
    from torch import Tensor


def losses(spec: HeadSpec, outputs: "Tensor", successes: "Tensor", trials: "Tensor") -> "Tensor":
    """The loss at each place: [P], float64.

    A quantile head's is the pinball loss of the success rate, summed over levels and divided by their number (method of
    "Know What You Don't Know", arXiv 2506.09338); a Beta-Binomial head's is the negative log-likelihood in nats.

    Args:
        spec: of the head.
        outputs: [P, K].
        successes: [P], Z.
        trials: [P], N.
    """
    z, n = successes.double(), trials.double()
    if spec.kind == QUANTILE:
        return _pinball(outputs.double().sigmoid(), z / n, spec.levels)
    if spec.kind == BETA_BINOMIAL:
        return _beta_binomial(outputs.double(), z, n)
    raise ValueError(f"a head of the kind {spec.kind} is not trained")


def _pinball(quantiles: "Tensor", rates: "Tensor", levels: tuple[float, ...]) -> "Tensor":
    """(1 / K) sum_k max(b_k u_k, (b_k - 1) u_k), u_k = rate - quantile_k: [P]."""
    import torch

    betas = torch.tensor(levels, dtype=torch.float64, device=quantiles.device)
    under = rates[:, None] - quantiles
    return torch.maximum(betas * under, (betas - 1) * under).mean(dim=1)


def _beta_binomial(outputs: "Tensor", successes: "Tensor", trials: "Tensor") -> "Tensor":
    """-log C(n, Z) - log B(Z + a, n - Z + b) + log B(a, b): [P]."""
    import torch

    bounds = math.log(MIN_CONCENTRATION), math.log(MAX_CONCENTRATION)
    concentration = outputs[:, 1].clamp(*bounds).exp()  # in this order: an infinity has no gradient
    a = (outputs[:, 0].sigmoid() * concentration).clamp(min=MIN_SHAPE)
    b = ((-outputs[:, 0]).sigmoid() * concentration).clamp(min=MIN_SHAPE)

    def log_beta(left: "Tensor", right: "Tensor") -> "Tensor":
        return torch.lgamma(left) + torch.lgamma(right) - torch.lgamma(left + right)

    choose = -torch.log(trials + 1) - log_beta(successes + 1, trials - successes + 1)
    return log_beta(a, b) - log_beta(successes + a, trials - successes + b) - choose
