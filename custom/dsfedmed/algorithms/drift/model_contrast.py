# SPDX-License-Identifier: Apache-2.0
"""MOON's model-contrastive loss (Li, He and Song, CVPR 2021, arXiv 2103.16057, equation 3).

With z, z_g and z_p an image's representations in the network that is trained, in the global one that the round began
with, and in the site's own of the round before, and the cosine similarity sim:

    l = - log( exp(sim(z, z_g) / tau) / (exp(sim(z, z_g) / tau) + exp(sim(z, z_p) / tau)) )

so a network is drawn to the global one and pushed off from what it was. The caller multiplies by mu.

Deviation: the paper is about classification and takes z from a projection head. A segmentation network has none; z is
what its last convolution gets, its mean over the pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def contrastive_loss(own: Tensor, shared: Tensor, previous: Tensor, temperature: float) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        own: z (N, D), with gradients.
        shared: z_g (N, D), without.
        previous: z_p (N, D), without.
        temperature: tau, above 0.

    Returns:
        A scalar, ln 2 where the two similarities are equal.
    """
    pair = torch.stack([cosine_similarity(own, shared), cosine_similarity(own, previous)], dim=1) / temperature
    return cross_entropy(pair, torch.zeros(len(own), dtype=torch.long, device=own.device))


def last_convolution(network: nn.Module) -> nn.Module:
    """Return the convolution that was registered last, which in a segmentation network writes the logits.

    Raises:
        ValueError: the network has none.
    """
    found = [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]
    if not found:
        raise ValueError("the network has no convolution")
    return found[-1]


class Representation:
    """Keeps, of every forward pass of ``network``, what its last convolution gets, its mean over pixels, (N, D)."""

    def __init__(self, network: nn.Module) -> None:
        self._last: Tensor | None = None
        self._handle = last_convolution(network).register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._last = arguments[0].float().mean(dim=(2, 3))

    @property
    def last(self) -> Tensor:
        """Of the last forward pass.

        Raises:
            ValueError: there was none.
        """
        if self._last is None:
            raise ValueError("the network has seen no image yet")
        return self._last

    def remove(self) -> None:
        """Let go of the network."""
        self._handle.remove()
