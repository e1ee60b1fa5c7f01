# SPDX-License-Identifier: Apache-2.0
"""Ranges of the fields that cross the wire: what a number, a name or a list may be at most.

A field's type is ``Annotated[int, Between(1, 8)]`` and the like; `dsfedmed.federated.wire.codec` enforces it on
arrival. A field without a range has the default of its type (`DEFAULTS`).
"""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass
from typing import Annotated, TypeAlias


@dataclass(frozen=True)
class Between:
    """A finite number from ``least`` to ``most``, both included."""

    least: float
    most: float

    def problem(self, value: float) -> str:
        """Return what is wrong with a number, or an empty string."""
        good = math.isfinite(value) and self.least <= value <= self.most
        return "" if good else f"{value!r} is not between {self.least:g} and {self.most:g}"


@dataclass(frozen=True)
class Matches:
    """A string that a pattern matches from its first to its last character."""

    pattern: str

    def problem(self, value: str) -> str:
        """Return what is wrong with a string, or an empty string."""
        return "" if re.fullmatch(self.pattern, value) else f"{shortened(value)} is not of the form {self.pattern}"


@dataclass(frozen=True)
class Length:
    """At most ``most`` entries of a list or mapping, or characters of a string."""

    most: int

    def problem(self, size: int) -> str:
        """Return what is wrong with a size, or an empty string."""
        return "" if size <= self.most else f"{size} entries are more than {self.most}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 3


def shortened(value: object) -> str:
    """Return a value as an error may show it, however large or deep it is."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = f"a {type(value).__name__} of many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


Count: TypeAlias = Annotated[int, Between(0, 10**8)]
"""How many images, steps of a stage, or entries."""
Bytes: TypeAlias = Annotated[int, Between(0, 2**44)]
Steps: TypeAlias = Annotated[int, Between(0, 10**9)]
Positive: TypeAlias = Annotated[int, Between(1, 10**8)]
Round: TypeAlias = Annotated[int, Between(0, 10**6)]
Seed: TypeAlias = Annotated[int, Between(0, 2**64 - 1)]
Pixels: TypeAlias = Annotated[int, Between(1, 2**14)]
Classes: TypeAlias = Annotated[int, Between(1, 255)]
MOST_CHANNELS = 16
Channels: TypeAlias = Annotated[int, Between(1, MOST_CHANNELS)]
"""Image channels: 1 is grey, 3 RGB unless they have names."""
Fraction: TypeAlias = Annotated[float, Between(0, 1)]
"""Dice, IoU, a share, a probability."""
Real: TypeAlias = Annotated[float, Between(-1e30, 1e30)]
"""A finite number, such as a loss."""
DISTANCES = Between(-0.01, 2.01)
Distance: TypeAlias = Annotated[float, DISTANCES]
"""1 less a correlation, rounding included."""
Nonnegative: TypeAlias = Annotated[float, Between(0, 1e30)]
Index: TypeAlias = Annotated[int, Between(0, 2**31 - 1)]
Name: TypeAlias = Annotated[str, Matches(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")]
"""Becomes a part of file names: no separator, no dot, nothing hidden."""
SiteName: TypeAlias = Annotated[str, Matches(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")]
ScoredName: TypeAlias = Annotated[str, Matches(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}(@[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")]
"""A method, or ``local@SITE``."""
Tag: TypeAlias = Annotated[str, Matches(r"[A-Za-z0-9_][A-Za-z0-9_/-]{0,127}")]
"""Of a tracked number, such as ``fedavg/loss``."""
Sha256: TypeAlias = Annotated[str, Matches(r"[0-9a-f]{64}")]
OptionalSha256: TypeAlias = Annotated[str, Matches(r"([0-9a-f]{64})?")]
Token: TypeAlias = Annotated[str, Matches(r"[^\x00-\x1f]{1,4096}")]
"""What the transport needs to find a file again; only the transport reads it."""
Text: TypeAlias = Annotated[str, Length(4000)]
"""A sentence for people; never a name, a path or code."""
LONGEST_LINE = 500
Line: TypeAlias = Annotated[str, Matches(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{{0,{LONGEST_LINE}}}")]
"""A sentence that a log can show: one line, nothing that moves a console's cursor."""
DEFAULTS: dict[type, Between | Length] = {
    int: Between(-(2**53), 2**53),
    float: Between(-1e30, 1e30),
    str: Length(4000),
    tuple: Length(10**7),
    dict: Length(10**4),
}
"""The range of a field that names none."""
