# SPDX-License-Identifier: Apache-2.0
"""What a network answers to an image of zeros: its shape and type are seen before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import ConfigError, DSFedMedError, worded

FIX = "Choose an image_size that its levels divide, such as a multiple of 32."


def answer_to_zeros(build: Callable[[], nn.Module], shape: tuple[int, ...], draws: bool = False) -> Tensor:
    """Return the answer of a new network, without numbers (meta device) where that can be done.

    Args:
        build: makes the network, on torch's default device.
        shape: of the images, (N, C, X, Y).
        draws: whether the network draws numbers on its way, as a sampler does, for which it has to have some.

    Raises:
        Exception: whatever the network raises.
    """
    if not draws:
        # A layer may choose by the numbers, as a mixture of experts does; and only the CPU's refusal is the network's.
        with suppress(RuntimeError):
            return _answer_on("meta", build, shape)
    return _answer_on("cpu", build, shape)


def require_answer(bundle: BundleDefinition) -> None:
    """Run a bundle's network once and look at the shape of its answer.

    Raises:
        ConfigError: naming the bundle and the size, when the network cannot take such images or answers at another
            size.
    """
    size = bundle.image_size
    where = f"{bundle.folder.name} at image_size {size[0]} x {size[1]}"
    try:
        found = tuple(answer_to_zeros(lambda: bundle.network(seed=0), (1, bundle.in_channels, *size)).shape)
    except DSFedMedError:
        raise
    except Exception as error:  # a bundle's network raises whatever it likes
        reason = worded(error)
        raise ConfigError(where, f"the network cannot take such images ({reason})", FIX) from error
    wanted = (1, bundle.num_classes, *size)
    if found != wanted:
        raise ConfigError(where, f"the network answers with shape {found}, not {wanted}", FIX)


def _answer_on(device: str, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Tensor:
    with torch.device(device), torch.no_grad():
        answer: Tensor = build().eval()(torch.zeros(shape))
    return answer
