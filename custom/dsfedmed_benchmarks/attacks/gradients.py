# SPDX-License-Identifier: Apache-2.0
"""Images out of an update: gradient inversion (Geiping et al., Inverting gradients, NeurIPS 2020, arXiv 2003.14053).

Equation 4: min over x in [0, 1] of 1 - cos(gradient at x, what was seen) + alpha TV(x), by Adam on the signs of its
gradient, with the step cut to a tenth at 3/8, 5/8 and 7/8 of the way (appendix B of that paper and its code). The
attacker knows weights, loss, masks and their order; only the images are looked for.

Adam's first step moves every weight by the sign of its gradient. Against that optimiser the attacker compares signs
that are smoothed at the median of their gradient, since signs themselves have no slope to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.seeds import generator

Loss = Callable[[Tensor, Tensor], Tensor]
CUTS = (3 / 8, 5 / 8, 7 / 8)
START = 0.3
"""Grey value of the start images: a smooth start is nearer to any picture than noise."""


@dataclass(frozen=True)
class Inversion:
    """How hard the attacker tries.

    Attributes:
        iterations: steps of Adam on the images.
        rate: its first step, in grey values of [0, 1].
        variation: alpha, weight of the total variation.
        signs: compare smoothed signs of gradients (updates of Adam) instead of gradients.
        seed: of the start images.
    """

    iterations: int = 200
    rate: float = 0.05
    variation: float = 1e-1
    signs: bool = False
    seed: int = 0


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels, a scalar, of images (N, C, X, Y)."""
    return (images.diff(dim=2)).abs().mean() + (images.diff(dim=3)).abs().mean()


def cosine_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return 1 - cosine, a scalar in [0, 2], of two lists of tensors taken as one vector each."""
    product = torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()
    norms = [torch.stack([each.square().sum() for each in side]).sum().sqrt() for side in (first, second)]
    return 1 - product / (norms[0] * norms[1]).clamp(min=1e-12)


def smooth_signs(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return g / (|g| + m) with m the median |g| of all numbers together: signs that still have a slope."""
    middle = torch.cat([each.detach().abs().flatten() for each in gradients]).median().clamp(min=1e-12)
    return [each / (each.abs() + middle) for each in gradients]


def invert(
    network: nn.Module, loss: Loss, seen: Sequence[Tensor], targets: Tensor, channels: int, how: Inversion
) -> Tensor:
    """Return images (N, channels, S, S) in [0, 1] whose gradient points where ``seen`` does.

    Args:
        network: images to logits (N, K, S, S), at the weights before the update.
        loss: of logits and ``targets``.
        seen: minus the update, a tensor for each of the network's parameters that want gradients, in their order.
        targets: mask channels (N, K, S, S) in {0, 1}.
        channels: of the images.
        how: see `Inversion`.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    shape = (len(targets), channels, *targets.shape[2:])
    start = START + 0.02 * torch.randn(shape, generator=generator(how.seed))
    images = start.clamp(0, 1).requires_grad_()
    optimizer = torch.optim.Adam([images], lr=how.rate)
    cuts = [int(share * how.iterations) for share in CUTS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, cuts, gamma=0.1)
    for _ in range(how.iterations):
        gradients = torch.autograd.grad(loss(network(images), targets), parameters, create_graph=True)
        compared = smooth_signs(gradients) if how.signs else gradients
        value = cosine_distance(compared, seen) + how.variation * total_variation(images)
        (slope,) = torch.autograd.grad(value, images)
        images.grad = slope.sign()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return images.detach()


def peak_signal_to_noise(found: Tensor, true: Tensor) -> Tensor:
    """Return the PSNR in dB, (N,), of images (N, C, S, S) in [0, 1]; identical ones have 100 dB."""
    errors = (found - true).square().flatten(1).mean(dim=1)
    return -10 * errors.clamp(min=1e-10).log10()
