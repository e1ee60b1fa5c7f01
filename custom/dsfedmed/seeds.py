# SPDX-License-Identifier: Apache-2.0
"""Seeds derived per (run, site, round, stage), so that every random draw can be replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(run_seed: int, *parts: str | int) -> int:
    """Return a seed in [0, 2**31) that depends on the run's seed and on every part, in order."""
    text = "/".join([str(run_seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@contextmanager
def global_draws(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Start torch's global generators at ``seed`` inside, for dropout and stochastic depth draw from no other.

    Behind it the generators of the CPU and of ``device`` go on as if nothing had happened.
    """
    place = torch.device(device)
    devices = [] if place.type == "cpu" else [place]
    with torch.random.fork_rng(devices, device_type="cuda" if place.type == "cpu" else place.type):
        torch.manual_seed(seed)
        yield


def generator(seed: int) -> torch.Generator:
    """Return a CPU torch generator started at ``seed``."""
    return torch.Generator().manual_seed(seed)
