# SPDX-License-Identifier: Apache-2.0
"""What decoders say of damaged files, as words that fit into one line of an error."""

from __future__ import annotations

MOST = 200


def worded(error: Exception) -> str:
    """Return an exception's text on one line, at most ``MOST`` characters; its type where it has none.

    Decoders repeat bytes of the file: what cannot be printed becomes "?".
    """
    text = " ".join(str(error).split())[:MOST]
    return "".join(letter if letter.isprintable() else "?" for letter in text) or type(error).__name__
