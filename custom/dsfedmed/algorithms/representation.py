# SPDX-License-Identifier: Apache-2.0
"""FedRep's division of a network into representation and head (Collins et al., ICML 2021, arXiv 2102.07099).

With the head h_k and the representation phi, as in algorithm 1:

    site k, first:   h_k   <- h_k - eta grad_h f_k(h_k, phi)            phi as it arrived
    site k, then:    phi_k <- phi_k - eta grad_phi f_k(h_k, phi_k)      h_k as it is now
    server:          phi   <- sum_k (n_k / n) phi_k

FedPer (Arivazhagan et al., 2019, arXiv 1912.00818) trains h_k and phi_k in the same steps.

Deviations: the papers classify, and their head is the last fully connected layer or layers. A segmentation network has
none; here the head begins with its last layer that gets more channels than the network gives (of the U-Net, the one
that turns 32 maps into one mask, and what follows it), or where a number of layers is asked for, with the last so many.
FedRep weights every site alike; here it is n_k / n, as in the FedAvg that it is compared with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

WEIGHTED = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
)  # fmt: skip
"""Layers that are counted."""


def head_names(network: nn.Module, layers: int = 0) -> frozenset[str]:
    """Return the names in the state dict of the head: of its first layer and of all that is registered behind it.

    Args:
        network: whose layers are registered in the order in which they are run, as far as the last ones go.
        layers: convolutions and linear layers of the head, frozen ones not counted; 0 finds it by the widths.

    Raises:
        ValueError: nothing would be left to share.
    """
    found = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, WEIGHTED) and _learns(layer)]
    count = layers or _narrow_end([_widths(layer) for _, layer in found])
    if count >= len(found):
        raise ValueError(f"{count} of {len(found)} layers are the head, so that nothing is left to share")
    first, names = found[-count][0], list(network.state_dict())
    return frozenset(names[next(at for at, name in enumerate(names) if name.startswith(f"{first}.")) :])


@contextmanager
def learning(network: nn.Module, names: Collection[str]) -> Iterator[list[nn.Parameter]]:
    """Within the block only the parameters of these names learn; they are returned. Frozen ones stay frozen."""
    learned = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    held = [parameter for name, parameter in learned if name not in names]
    for parameter in held:
        parameter.requires_grad_(False)
        parameter.grad = None
    try:
        yield [parameter for name, parameter in learned if name in names]
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def _learns(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters(recurse=False))


def _widths(layer: nn.Module) -> tuple[int, int]:
    """Return the channels that a layer gets and gives."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return int(layer.in_channels), int(layer.out_channels)  # type: ignore[arg-type]


def _narrow_end(widths: list[tuple[int, int]]) -> int:
    """Return the number of last layers from the last one on that gets more channels than the network gives."""
    given = widths[-1][1] if widths else 0
    return next((count for count, (gets, _) in enumerate(reversed(widths), 1) if gets > given), len(widths))
