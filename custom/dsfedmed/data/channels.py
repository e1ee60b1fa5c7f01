# SPDX-License-Identifier: Apache-2.0
"""How many channels an image has, what they are called, and in which order they stand.

An image has 1 to 16 channels: one is grey, three without names are red, green and blue, and any other number is what
the site's ``datalist.json`` says (sequences of one MR study, stains of one fluorescence picture, CT and PET). Where
channels have names, their order is that of the names, sorted without regard to upper and lower case, at every site and
in every network, whatever order a site's files have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from dsfedmed.errors import DataError
from dsfedmed.ranges import MOST_CHANNELS, Length

LONGEST_NAME = 40
PICTURE = (1, 3)
"""Grey and RGB: each can be made of the other, and both have a picture format of their own."""
PLAIN = re.compile(r"(?!.*[A-Za-z_]\.[A-Za-z_])[^$@%/\\\x00-\x1f]+")
"""Plain text, as of label names: no expression, reference or macro of a bundle's parser, no path, no dotted name."""
ChannelNames: TypeAlias = Annotated[tuple[Annotated[str, Length(LONGEST_NAME)], ...], Length(MOST_CHANNELS)]


def usable_channels(value: object) -> bool:
    """Say whether a value is a number of channels: a whole number from 1 to 16."""
    return type(value) is int and 1 <= value <= MOST_CHANNELS


def names_problem(names: Sequence[object], channels: int) -> str:
    """Return what is wrong with the names of so many channels, or an empty string; no names are no problem."""
    if not names:
        return ""
    if not all(isinstance(name, str) and name.strip() and len(name) <= LONGEST_NAME for name in names):
        return f"a name is empty, no text, or longer than {LONGEST_NAME} characters"
    unusable = [name for name in names if not PLAIN.fullmatch(str(name))]
    if unusable:
        return f"{unusable[0]!r} has one of $ @ % / \\, or a dot between letters"
    if len({str(name).casefold() for name in names}) != len(names):
        return "a name stands twice (upper and lower case count as one)"
    return "" if len(names) == channels else f"{len(names)} names do not fit {channels} channels"


def channel_order(names: Sequence[str]) -> tuple[int, ...]:
    """Return the places in ``names`` in the order of the names, sorted without regard to case.

    Channel k of the ordered image is channel ``channel_order(names)[k]`` of the file.
    """
    return tuple(sorted(range(len(names)), key=lambda place: names[place].casefold()))


def sorted_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in the order in which every site's channels stand."""
    return tuple(names[place] for place in channel_order(names))


def channel_labels(channels: int, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what each channel is called in a bundle: its name, "image", "red" to "blue", or "channel 1" and on."""
    if names:
        return tuple(names)
    if channels == 1:
        return ("image",)
    return ("red", "green", "blue") if channels == 3 else tuple(f"channel {k + 1}" for k in range(channels))


def require_channels(path: Path, found: int, wanted: int) -> None:
    """Refuse a file of another number of channels; grey and RGB stand for each other.

    Raises:
        DataError: naming the file and both numbers.
    """
    if found != wanted and not (found in PICTURE and wanted in PICTURE):
        reason = f"it has {found} channel{'s' if found != 1 else ''} and {wanted} are expected"
        fix = f'Export it with {wanted}, or write "channels": {found} in datalist.json, at every site alike.'
        raise DataError(path, reason, fix)
