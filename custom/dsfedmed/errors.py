# SPDX-License-Identifier: Apache-2.0
"""Errors written for people: where it happened, why, and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_REASON = 200
_PATH = re.compile(r"(?<![\w.<:/])(?:[A-Za-z]:\\|/)(?:[^\s'\"/\\,;:()\[\]]+[/\\])+([^\s'\"/\\,;:()\[\]]*)")


def without_paths(text: str, folders: Iterable[object] = ()) -> str:
    """Return a message that may be passed on: of a path of this machine only its last name stays.

    Args:
        text: such as an error's.
        folders: folders of this machine that are known, whose names may have blanks; below them the rest stays.
    """
    for folder in sorted(map(str, folders), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(folder, folder.rstrip("/").rpartition("/")[2])
    return _PATH.sub(r"\1", text)


def one_line(text: str) -> str:
    """Return a text as one line of a console, a log or a page can show it, wherever names in it came from.

    Line breaks become blanks; what else cannot be printed (a console's commands, marks that turn the direction of
    reading, bytes that are no letters) becomes "?".
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


class DSFedMedError(Exception):
    """Base of all errors of this package; each of its three parts is one printable line.

    Args:
        where: the site, file or setting concerned.
        reason: what is wrong with it.
        fix: what the reader can do about it.
    """

    def __init__(self, where: object, reason: str, fix: str) -> None:
        self.where, self.reason, self.fix = one_line(str(where)), one_line(reason), one_line(fix)
        super().__init__(f"{self.where}: {self.reason}. {self.fix}")

    def __reduce__(self) -> tuple[type[DSFedMedError], tuple[str, str, str]]:
        """Rebuild from the three parts, so that the error crosses process borders whole."""
        return type(self), (self.where, self.reason, self.fix)


class DataError(DSFedMedError):
    """A site's images, labels or datalist are not usable."""


class ConfigError(DSFedMedError):
    """A preset, bundle or site configuration is not usable."""


class PayloadError(DSFedMedError):
    """Something that came over the wire is not what was announced."""


class CheckpointError(DSFedMedError):
    """A weights file does not fit the network it was named for."""


class StoreError(DSFedMedError):
    """The run's stage store cannot be written or does not match its hashes."""


def worded(error: Exception) -> str:
    """Return an exception's text on one line, at most ``LONGEST_REASON`` characters; its type where it has none.

    Decoders and parsers repeat bytes of the file: what cannot be printed becomes "?".
    """
    return one_line(" ".join(str(error).split())[:LONGEST_REASON]) or type(error).__name__
