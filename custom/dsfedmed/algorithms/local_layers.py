# SPDX-License-Identifier: Apache-2.0
"""FedBN's division of a network (Li et al., ICLR 2021, arXiv 2102.07623): what stays at a site, and what is averaged.

    scale, shift and statistics of normalisation layers:   w_k stays with site k
    every other tensor:                                    w <- sum_k (n_k / n) w_k

SiloBN (Andreux et al., DART 2020, arXiv 2008.07424) averages scale and shift as well; the statistics alone stay. A site
that took no part takes them from images of its own, as AdaBN does (Li et al., 2016, arXiv 1603.04779).

Deviations: the paper weights every site alike, 1 / K; here it is n_k / n, as in the FedAvg that it is compared with.
The paper's networks have batch normalisation only; instance and group normalisation, which have scale and shift as
well, count here too. Layer normalisation, which belongs to tokens and not to an image's look, is averaged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

NORMALISATION = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
)


def local_names(network: nn.Module) -> frozenset[str]:
    """Return the names in the state dict that belong to normalisation layers, counters of batches among them.

    A layer without scale, shift and statistics has none: a network may have normalisation and no such name.
    """
    layers = network.named_modules(remove_duplicate=False)
    own = ((name, layer) for name, layer in layers if isinstance(layer, NORMALISATION))
    return frozenset(f"{name}.{key}" if name else key for name, layer in own for key in layer.state_dict())


def statistics_names(network: nn.Module) -> frozenset[str]:
    """Return those of `local_names` that are statistics of images seen, counters of batches among them.

    A layer that normalises each image by itself keeps none: of a network with no other layers all is averaged.
    """
    learned = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    return local_names(network) - learned


@torch.no_grad()
def take_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics by the means of those of these batches of images; nothing else changes.

    A batch's are its mean and unbiased variance for each channel; every batch counts alike, whatever its size.
    """
    layers = [layer for layer in network.modules() if getattr(layer, "running_mean", None) is not None]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()  # type: ignore[operator]
        layer.train()
    for number, batch in enumerate(batches, 1):  # the statistics are the mean over the batches so far
        for layer in layers:
            layer.momentum = 1 / number  # type: ignore[assignment]
        network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def divide(tensors: Mapping[str, Tensor], local: Collection[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors that are averaged, and those that stay."""
    shared = {name: tensor for name, tensor in tensors.items() if name not in local}
    return shared, {name: tensor for name, tensor in tensors.items() if name in local}
