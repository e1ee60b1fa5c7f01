# SPDX-License-Identifier: Apache-2.0
"""A signal ends a block in order, once, and nothing is changed behind it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from dsfedmed.federated.party.stopping import SIGNALS, Stopped, raise_if_stopped, stoppable


def send(number: int) -> None:
    """Send a signal within a block."""
    with stoppable("come back"):
        try:
            os.kill(os.getpid(), number)
            pytest.fail("the block went on")
        finally:
            seen = [signal.getsignal(each) for each in SIGNALS]
            assert seen == [signal.SIG_DFL] * 2, "a second signal ends the process while the first is answered"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block_and_its_number_is_told(number: int) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(Stopped, match=r"^come back$") as stopped:
        send(number)
    assert stopped.value.number == number
    assert [signal.getsignal(each) for each in SIGNALS] == before


def take(reached: list[str]) -> None:
    """Take the interrupt, as NVFlare's simulator does."""
    with stoppable("come back"):
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        reached.append("behind")
        if len(reached) > 1:
            raise_if_stopped()
            pytest.fail("nothing was raised")


def test_an_interrupt_that_was_taken_comes_up_again() -> None:
    for reached in ([], ["asked for it"]):
        with pytest.raises(Stopped, match="come back"):
            take(reached)
        assert reached[-1] == "behind"
    with stoppable("come back"):  # of the one before nothing is left
        raise_if_stopped()


def test_what_is_ignored_stays_so_and_other_threads_heed_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable("come back"):
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    done: list[bool] = []

    def elsewhere() -> None:
        with stoppable("come back"):
            done.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [True]
