# SPDX-License-Identifier: Apache-2.0
"""Parts of a network that its forward never runs: frozen, so that a federation does not send them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dsfedmed.errors import ConfigError


def without_idle(network: nn.Module, prefixes: Sequence[str]) -> nn.Module:
    """Freeze the parameters under ``prefixes`` and return the network itself; for a bundle's ``network_def``.

    MONAI's FlexibleUNet, as an example, keeps the classifier of its encoder: with EfficientNet-B0 1,693,160 of
    7,059,701 parameters that no gradient reaches, a quarter of the bytes of every round. Their keys stay in the state
    dict, so that files of the plain network load.

    Args:
        network: any network.
        prefixes: beginnings of parameter names.

    Raises:
        ConfigError: a prefix that no parameter has.
    """
    for prefix in prefixes:
        found = [parameter for name, parameter in network.named_parameters() if name.startswith(prefix)]
        if not found:
            kind = type(network).__name__
            raise ConfigError("idle parts", f"no parameter of {kind} begins with '{prefix}'", "Correct the prefix.")
        for parameter in found:
            parameter.requires_grad_(False)
    return network
