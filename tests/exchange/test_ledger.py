# SPDX-License-Identifier: Apache-2.0
"""The byte ledger: sums per site, direction, stage and purpose, from many threads and over restarts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.exchange.ledger import ByteLedger

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["site_a", "site_b"]),
        st.sampled_from(["up", "down"]),
        st.integers(0, 10**12),
        st.sampled_from(["rounds", "audit"]),
        st.sampled_from(["method", "comparison"]),
    ),
    max_size=20,
)
Messages = list[tuple[str, str, int, str, str]]


def _fill(ledger: ByteLedger, messages: Messages) -> ByteLedger:
    for site, direction, size, stage, purpose in messages:
        ledger.stage, ledger.purpose = stage, purpose  # type: ignore[assignment]
        ledger.add(site, direction, size)  # type: ignore[arg-type]
    return ledger


def _sorted(ledger: ByteLedger) -> list[dict[str, object]]:
    return sorted(ledger.entries(), key=lambda row: json.dumps(row, sort_keys=True))


def test_rows_by_hand() -> None:
    ledger = ByteLedger()
    ledger.add("site_a", "down", 10)
    ledger.stage = "rounds"
    ledger.add("site_a", "up", 7)
    ledger.add("site_a", "up", 5)
    ledger.purpose = "comparison"
    ledger.add("site_a", "up", 100)
    common = {"site": "site_a"}
    assert ledger.entries() == [
        {**common, "direction": "down", "stage": "start", "purpose": "method", "bytes": 10, "messages": 1},
        {**common, "direction": "up", "stage": "rounds", "purpose": "method", "bytes": 12, "messages": 2},
        {**common, "direction": "up", "stage": "rounds", "purpose": "comparison", "bytes": 100, "messages": 1},
    ]


@given(MESSAGES)
@settings(deadline=None)
def test_nothing_is_lost_and_no_row_stands_twice(messages: Messages) -> None:
    rows = _fill(ByteLedger(), messages).entries()
    assert sum(row["bytes"] for row in rows) == sum(message[2] for message in messages)
    assert sum(row["messages"] for row in rows) == len(messages)
    keys = [(row["site"], row["direction"], row["stage"], row["purpose"]) for row in rows]
    assert len(keys) == len(set(keys))


@given(MESSAGES, MESSAGES)
@settings(deadline=None)
def test_an_interrupted_run_ends_with_the_sums_of_an_unbroken_one(first: Messages, second: Messages) -> None:
    written = json.loads(json.dumps(_fill(ByteLedger(), first).entries()))
    resumed = ByteLedger()
    resumed.restore(written)
    assert _sorted(_fill(resumed, second)) == _sorted(_fill(ByteLedger(), first + second))


def test_many_threads_add_up() -> None:
    ledger = ByteLedger()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [ledger.add("site_a", "up", 3) for _ in range(2000)])
    assert [(row["bytes"], row["messages"]) for row in ledger.entries()] == [(48_000, 16_000)]
