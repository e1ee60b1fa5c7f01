# SPDX-License-Identifier: Apache-2.0
"""Random numbers that nobody can repeat who does not have the secret behind them.

SHAKE-256 of the secret and a label (FIPS 202) gives as many bits as are wanted; normal numbers come of them by Box and
Muller (1958). PyTorch's CPU generator is not used: it takes 32 bits of its seed, whatever is given, and 2^32 seeds can
be tried one by one until the noise that somebody has in hand comes out.

Not covered: the gaps between floating point numbers (Mironov, On significance of the least significant bits for
differential privacy, CCS 2012). Noise is drawn in float64 and rounded once, to float32.
"""

from __future__ import annotations

import hashlib
import math
import secrets

import torch
from torch import Tensor

SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret from the operating system, 64 hexadecimal digits."""
    return secrets.token_hex(SECRET_BYTES)


class SecretDraws:
    """Draws that depend on the secret and on their label alone; the same label gives the same numbers again.

    Args:
        secret: text that nobody else knows, such as `new_secret`.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def uniform(self, count: int, *label: str | int) -> Tensor:
        """Return float64 (count,) in [0, 1), 53 random bits each."""
        words = torch.frombuffer(bytearray(self._bytes(8 * count, label)), dtype=torch.int64) if count else _NONE
        return (words >> 11 & (1 << 53) - 1).to(torch.float64) / (1 << 53)

    def normal(self, count: int, *label: str | int) -> Tensor:
        """Return float64 (count,) of the standard normal distribution."""
        pairs = (count + 1) // 2
        first, second = self.uniform(2 * pairs, *label).split(pairs) if pairs else (_NONE.double(), _NONE.double())
        radius = (-2 * torch.log1p(-first)).sqrt()  # 1 - u is in (0, 1], so that the logarithm is finite
        angle = 2 * math.pi * second
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count]

    def seed(self, *label: str | int) -> int:
        """Return a seed in [0, 2**63) for draws that need not be secret."""
        return int.from_bytes(self._bytes(8, label), "little") >> 1

    def _bytes(self, count: int, label: tuple[str | int, ...]) -> bytes:
        text = "/".join([self._secret, *(str(part) for part in label)])
        return hashlib.shake_256(text.encode()).digest(count)


_NONE = torch.empty(0, dtype=torch.int64)
