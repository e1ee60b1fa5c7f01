# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them."""

from __future__ import annotations

from typing import Any

MINUS = "\N{MINUS SIGN}"


def byte_text(count: float) -> str:
    """Bytes with a binary unit: 1536 is "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def seconds_text(seconds: float) -> str:
    """Seconds as "42 s", "3 min 05 s" or "2 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count_text(count: int) -> str:
    """Return a number of parameters or steps: "304 k", "1.82 M"."""
    if count >= 1_000_000:
        return f"{count / 1e6:.2f} M"
    return f"{count / 1e3:.0f} k" if count >= 10_000 else f"{count:,}"


def signed(value: float, digits: int = 1) -> str:
    """Return a difference with its sign, a true minus."""
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.{digits}f}"


def signed_interval_text(interval: dict[str, Any]) -> str:
    """Return a difference and its interval: "+2.8 [+0.3, +5.1]"."""
    return f"{signed(interval['mean'])} [{signed(interval['low'])}, {signed(interval['high'])}]"


MANY = 2.0
"""Increase, as a fraction, from which percent are hard to read."""


def change_text(reduction: float, other: str = "") -> str:
    """Return a reduction (fraction; negative is an increase) as "12.3 % less", "12.3 % more" or "16 times as much".

    ``other`` is what it is held against, for a sentence: "12.3 % more than FedAvg", "16 times as much as FedAvg".
    """
    if reduction <= -MANY:
        return f"{1 - reduction:.0f} times as much" + (f" as {other}" if other else "")
    return f"{abs(100 * reduction):.1f} % {'less' if reduction >= 0 else 'more'}" + (f" than {other}" if other else "")
