# SPDX-License-Identifier: Apache-2.0
"""Lossless coding of eight-bit numbers: small ones are frequent and get short codes.

Deflate with Huffman codes alone (RFC 1951; zlib's strategy Z_HUFFMAN_ONLY): the numbers are noise, so there is nothing
for a search of repetitions to find, and without it coding takes a tenth of the time. The receiver knows how many
numbers there must be and never unpacks more.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError

LEVEL = 1
MEMORY = 9


def compress(codes: Tensor) -> Tensor:
    """Return the coded bytes of an int8 tensor as a uint8 vector."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, MEMORY, zlib.Z_HUFFMAN_ONLY)
    plain = codes.detach().cpu().reshape(-1).numpy().tobytes()
    coded = bytearray(packer.compress(plain) + packer.flush())
    return torch.frombuffer(coded, dtype=torch.uint8)


def decode_bytes(coded: Tensor, count: int, where: str) -> Tensor:
    """Return the ``count`` int8 numbers of a coded vector.

    Raises:
        PayloadError: it is no uint8 vector, is damaged, or holds more or fewer numbers; no more than ``count`` bytes
            are ever unpacked.
    """
    if coded.dtype != torch.uint8 or coded.ndim != 1:
        raise PayloadError(where, f"sent codes as {coded.dtype} with {coded.ndim} axes, not as bytes", _FIX)
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(coded.detach().cpu().numpy().tobytes(), max(count, 1))
        rest = unpacker.decompress(unpacker.unconsumed_tail, 1)
    except zlib.error as error:
        raise PayloadError(where, f"sent codes that cannot be unpacked ({error})", _FIX) from error
    if len(plain) != count or rest or not unpacker.eof or unpacker.unused_data:
        raise PayloadError(where, f"sent codes for another number of weights than {count}", _FIX)
    return torch.frombuffer(bytearray(plain), dtype=torch.int8) if count else torch.zeros(0, dtype=torch.int8)


_FIX = "Use the same version of dsfedmed everywhere; check the connection"
