# SPDX-License-Identifier: Apache-2.0
"""Seeds derived per (run, site, round, stage), so that every random draw can be replayed."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(run_seed: int, *parts: str | int) -> int:
    """Return a seed in [0, 2**31) that depends on the run's seed and on every part, in order."""
    text = "/".join([str(run_seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator(seed: int) -> torch.Generator:
    """Return a CPU torch generator started at ``seed``."""
    return torch.Generator().manual_seed(seed)
