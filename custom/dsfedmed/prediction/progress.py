# SPDX-License-Identifier: Apache-2.0
"""How far it is: a bar where a terminal is there, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from dsfedmed.errors import one_line

SECONDS = 10.0
"""At least so long between two lines of a log."""
WIDTH = 30


class Progress:
    """Shows how many images are done.

    Args:
        total: images in all.
        stream: where it is shown; standard error by default, so that what is printed can be used.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total, self.stream = total, stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self._said = time.monotonic()

    def show(self, done: int, name: str) -> None:
        """Say that so many are done and which one is next."""
        now = time.monotonic()
        name = one_line(name)
        if self.is_terminal:
            filled = WIDTH * done // max(1, self.total)
            bar = "#" * filled + "." * (WIDTH - filled)
            self.stream.write(f"\r\x1b[K[{bar}] {done}/{self.total}  {name[-60:]}")
        elif now - self._said >= SECONDS:
            self.stream.write(f"{done} of {self.total} images done; next {name}\n")
            self._said = now
        self.stream.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self.is_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
