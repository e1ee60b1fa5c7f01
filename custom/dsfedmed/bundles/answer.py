# SPDX-License-Identifier: Apache-2.0
"""Whether a bundle's network answers at its image size, seen before anything is trained."""

from __future__ import annotations

import torch

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import ConfigError, DSFedMedError

FIX = "Choose an image_size that its levels divide, such as a multiple of 32."


def require_answer(bundle: BundleDefinition) -> None:
    """Run the network once, without numbers where that can be done, and look at the shape of its answer.

    Raises:
        ConfigError: naming the bundle and the size, when the network cannot take such images or answers at another
            size.
    """
    size = bundle.image_size
    where = f"{bundle.folder.name} at image_size {size[0]} x {size[1]}"
    try:
        try:
            found = _answered(bundle, "meta")
        except NotImplementedError:  # a layer that chooses by the numbers
            found = _answered(bundle, "cpu")
    except DSFedMedError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ConfigError(where, f"the network cannot take such images ({reason})", FIX) from error
    wanted = (1, bundle.num_classes, *size)
    if found != wanted:
        raise ConfigError(where, f"the network answers with shape {found}, not {wanted}", FIX)


def _answered(bundle: BundleDefinition, device: str) -> tuple[int, ...]:
    with torch.device(device), torch.no_grad():
        network = bundle.network(seed=0).eval()
        return tuple(network(torch.zeros(1, bundle.in_channels, *bundle.image_size)).shape)
