# SPDX-License-Identifier: Apache-2.0
"""Requests and replies of a round: every number has its limits, and nothing is taken that was not asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.wire.requests.training import (
    LocalReply,
    LocalRequest,
    PersonalRequest,
    TrainReply,
    TrainRequest,
)
from dsfedmed.federated.wire.specs import FileOffer, ReferenceMove, SoftLabelChoice
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import HASH
from tests.federated.wire.requests.bodies import PLAN, ROUND, comes_back, manifest_in, refused

TRAIN = TrainRequest(
    PLAN.common, replace(ROUND, reference=ReferenceMove("", HASH, "", FileOffer("server", "token"))), "adapted",
    PLAN.teacher_spec, PLAN.teacher_init, 1e-4, 0.01,
)  # fmt: skip
PERSONAL = PersonalRequest(PLAN.common, ROUND, PLAN.teacher_spec, PLAN.teacher_init, PersonalConfig(experts=2))
LOCAL = LocalRequest(PLAN.common, 6, 4)
REPLY = TrainReply(3, 0.5, 0.25, 7)


def test_all_come_back(tmp_path: Path) -> None:
    found = comes_back(TRAIN)
    assert (found.round, found.network, found.teacher_init) == (TRAIN.round, "adapted", PLAN.teacher_init)
    assert (found.learning_rate, found.proximal, found.synthetic) == (1e-4, 0.01, None)
    chosen = SoftLabelChoice(manifest_in(tmp_path), (0, 1), (1,), HASH, 0.25, 2.5, ("site_a",))
    assert comes_back(replace(TRAIN, synthetic=chosen)).synthetic == chosen
    assert comes_back(replace(TRAIN, notice="Klinik's part: Dice 0.4")).notice == "Klinik's part: Dice 0.4"
    assert comes_back(PERSONAL).config == PERSONAL.config
    assert comes_back(LOCAL).epochs == 6
    for reply in (REPLY, TrainReply(3), TrainReply(3, 0.0), LocalReply(1.0, 2, 8)):
        assert comes_back(reply) == reply


@pytest.mark.parametrize(
    ("body", "path", "value", "reason"),
    [
        (TRAIN, "network", "shell", "none of light, teacher, adapted, low_rank"),
        (TRAIN, "learning_rate", -1.0, "-1.0 is not between"),
        (TRAIN, "proximal", float("nan"), "nan is not between"),
        (TRAIN, "round.round", 10**7, "10000000 is not between"),
        (TRAIN, "round.training", "a.b", "'a.b' is not of the form"),
        (TRAIN, "round.reference.target", "latest", "'latest' is not of the form"),
        (TRAIN, "teacher.num_classes", 0, "0 is not between"),
        (TRAIN, "teacher_init.seed", 2**64, "is not between"),
        (TRAIN, "teacher_init.sha256", "/models/sam.pth", "'/models/sam.pth' is not of the form"),
        (TRAIN, "common.light.bundle", "../x", "'../x' is not of the form"),
        (TRAIN, "synthetic", {}, "without its key 'manifest'"),
        (TRAIN, "notice", "two\nlines", "is not of the form"),
        (TRAIN, "notice", "\x1b[2J", "is not of the form"),
        (TRAIN, "notice", "x" * 501, "is not of the form"),
        (PERSONAL, "config.experts", 0, "method.top_k"),
        (PERSONAL, "config.learning_rate", 0, "method.learning_rate"),
        (PERSONAL, "config.personal_sync", "all", "none of none, lora, lora+decoder"),
        (PERSONAL, "teacher_init", None, "which is None and no mapping"),
        (LOCAL, "epochs", -1, "-1 is not between"),
        (LOCAL, "batch_size", 0, "0 is not between"),
        (LOCAL, "round", 1, "unknown key 'round'"),
    ],
)
def test_a_request_within_its_limits_only(body: Any, path: str, value: Any, reason: str) -> None:
    assert reason in refused(body, path, value)


@pytest.mark.parametrize(
    ("body", "path", "value", "reason"),
    [
        (REPLY, "validation", 1.5, "1.5 is not between"),
        (REPLY, "loss", float("inf"), "inf is not between"),
        (REPLY, "steps", 2.0, "which is no int"),
        (REPLY, "steps", 10**10, "is not between"),
        (REPLY, "round", None, "which is no int"),
        (REPLY, "weight", 10**6, "unknown key 'weight'"),
        (LocalReply(1.0, 2, 8), "validation", None, "which is no float"),
        (LocalReply(1.0, 2, 8), "epoch", -1, "-1 is not between"),
    ],
)
def test_a_reply_within_its_limits_only(body: Any, path: str, value: Any, reason: str) -> None:
    """A site may not say how much it weighs in the mean: that is its images as it declared them."""
    assert reason in refused(body, path, value)
