# SPDX-License-Identifier: Apache-2.0
"""Memory is given back once enough bytes have passed, and what only circles hold is collected."""

from __future__ import annotations

import weakref

import torch

from dsfedmed.flare.memory_release import MemoryReleaser


class Holder:
    """A tensor in a circle of references, as NVFlare's contexts make them."""

    def __init__(self) -> None:
        self.tensor = torch.zeros(8)
        self.me = self


def test_nothing_is_done_before_enough_has_passed_and_then_the_count_starts_again():
    releaser = MemoryReleaser(enough=100)
    assert [releaser.count(size) for size in (40, 59, 1, 99, 1)] == [False, False, True, False, True]


def test_what_is_held_in_a_circle_is_collected():
    holder = Holder()
    gone = weakref.ref(holder)
    del holder
    MemoryReleaser(enough=10).count(10)
    assert gone() is None
