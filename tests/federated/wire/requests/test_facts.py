# SPDX-License-Identifier: Apache-2.0
"""What a site tells of its data: counts that own no mean, and nothing that the type does not name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dsfedmed.data.facts import SiteFacts
from dsfedmed.data.review.look import SiteLook
from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.codec import from_json
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from tests.federated.wire.requests.bodies import comes_back, refused

REPLY = FactsReply(
    SiteFacts(1, 2, ("cell", "nucleus"), True, (0, 1, 2), {"training": 4, "validation": 0}, (".png",), (32, 48),
              (64, 64), {"torch": "2.9"}, SiteLook(0.25, 0.1, 0.012, (48, 64), (0.5, 0.5))),
    "0" * 64,
)  # fmt: skip


def test_both_come_back() -> None:
    assert comes_back(FactsRequest()) == FactsRequest()
    assert comes_back(REPLY) == REPLY
    few = FactsReply(replace(REPLY.facts, look=None, window=(-160.0, 240.0)), "f" * 64)
    assert comes_back(few) == few


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("facts.counts.training", -1, "-1 is not between"),
        ("facts.counts.training", 10**9, "1000000000 is not between"),
        ("facts.counts.training", 4.0, "which is no int"),
        ("facts.counts", {f"part{n}": 1 for n in range(9)}, "9 entries are more than 8"),
        ("facts.channels", 17, "17 is not between"),
        ("facts.window", [0.0, 1e9], "1000000000.0 is not between"),
        ("facts.channel_names", ["T1", "T2"], "channels, classes or counts are impossible"),
        ("facts.num_classes", 3, "channels, classes or counts are impossible"),
        ("facts.num_classes", 256, "256 is not between"),
        ("facts.label_names", ["x" * 41, "b"], "41 entries are more than 40"),
        ("facts.size_min", [32], "1 entries instead of 2"),
        ("facts.size_max", [64, 10**5], "100000 is not between"),
        ("facts.label_values", [70_000], "70000 is not between"),
        ("data_sha256", "images/anna-meier.png", "is not of the form"),
        ("facts.nested", "yes", "which is no bool"),
        ("facts.look.grey_mean", 1.5, "1.5 is not between 0 and 1"),
        ("facts.look.foreground", -0.1, "-0.1 is not between 0 and 1"),
        ("facts.look.spacing", [0.5, 2000.0], "2000.0 is not between 0 and 1000"),
        ("facts.look.size", [0, 64], "0 is not between"),
        ("facts.look", {"grey_mean": 0.1}, "without its key 'grey_spread'"),
    ],
)
def test_facts_within_their_limits_only(path: str, value: Any, reason: str) -> None:
    assert reason in refused(REPLY, path, value)


def test_nothing_else_is_asked_or_told() -> None:
    assert "unknown key 'paths'" in refused(REPLY, "facts.paths", ["/data/smith.png"])
    with pytest.raises(PayloadError, match="server: sent FactsRequest with the unknown key 'paths'"):
        from_json(FactsRequest, {"paths": True}, "server")
