# SPDX-License-Identifier: Apache-2.0
"""A site's loss in MOON: the bundle's, and the contrast of what three networks make of the same images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.drift.model_contrast import Representation, contrastive_loss
from dsfedmed.training.task import Loss


class _Images:
    """Keeps the images of the last forward pass of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.last = torch.empty(0)
        self.handle = network.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self.last = arguments[0]


@contextmanager
def in_contrast(
    network: nn.Module, shared: nn.Module, previous: nn.Module, loss: Loss, weight: float, temperature: float
) -> Iterator[Loss]:
    """Within the block, return the loss of a step: ``loss`` and ``weight`` times the contrast.

    It is of the logits that ``network`` gave last. The other two run without gradients, in evaluation mode.

    Args:
        network: what is trained.
        shared: the global network as the round began.
        previous: the site's own as its last round ended.
        loss: of (logits, mask channels).
        weight: mu.
        temperature: tau.
    """
    images, own = _Images(network), Representation(network)
    others = [Representation(each.eval()) for each in (shared, previous)]

    def contrasted(logits: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            for each in (shared, previous):
                each(images.last)
        contrast = contrastive_loss(own.last, others[0].last, others[1].last, temperature)
        return loss(logits, target) + weight * contrast

    try:
        yield contrasted
    finally:
        images.handle.remove()
        for each in (own, *others):
            each.remove()
