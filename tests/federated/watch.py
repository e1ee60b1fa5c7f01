# SPDX-License-Identifier: Apache-2.0
"""A clock that a test moves, in place of the module `time`."""

from __future__ import annotations


class Watch:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
