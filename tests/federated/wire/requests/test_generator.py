# SPDX-License-Identifier: Apache-2.0
"""The generator's requests: a configuration that fits itself, steps, and the hash of a folder, never its path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dsfedmed.federated.wire.requests.generator import (
    BaseReply,
    BaseRequest,
    BranchPrivacy,
    BranchReply,
    BranchRequest,
    BranchStatement,
    MasksReply,
    MasksRequest,
)
from tests.federated.tiny import HASH
from tests.federated.wire.requests.bodies import PLAN, comes_back, refused

BASE = BaseRequest(PLAN.common, PLAN.generator, 1, 10, 0, 20)
BRANCH = BranchRequest(PLAN.common, PLAN.generator, HASH, 10)
PRIVATE = BranchReply(None, BranchStatement("patient", 1.0, 2.5, 0.3, 40, 3.0, 1e-4, 4.5, 2))
MASKS = MasksRequest(PLAN.common, 4)


def test_all_come_back() -> None:
    assert comes_back(BASE).generator == PLAN.generator
    assert comes_back(BRANCH).generator_base == HASH
    assert comes_back(BranchRequest(PLAN.common, PLAN.generator, None, 10)).generator_base is None
    assert comes_back(MASKS).count == 4
    assert comes_back(replace(BRANCH, privacy=BranchPrivacy(3.0, 1e-5, 0.5, 4))).privacy.draws == 4
    for reply in (BaseReply(1, 0.5), BranchReply(0.25), PRIVATE, MasksReply("deformed"), MasksReply("drawn")):
        assert comes_back(reply) == reply


@pytest.mark.parametrize(
    ("body", "path", "value", "reason"),
    [
        (BASE, "steps", -1, "-1 is not between"),
        (BASE, "round", "1", "which is no int"),
        (BASE, "generator.base", "somewhere", "generator"),
        (BASE, "generator.image_size", -1, "generator"),
        (BASE, "generator.checkpoint", "/x", "unknown key 'checkpoint'"),
        (BRANCH, "generator_base", "/models/sd", "'/models/sd' is not of the form"),
        (BRANCH, "steps", 10**10, "10000000000 is not between"),
        (MASKS, "count", 0, "0 is not between"),
        (MASKS, "common.num_classes", 0, "0 is not between"),
        (MASKS, "common.seed", -1, "-1 is not between"),
        (MASKS, "common.precision", "fp64", "none of fp32, fp16, int8"),
        (MASKS, "common.autocast", "on", "none of off"),
        (BaseReply(1, 0.5), "loss", float("inf"), "inf is not between"),
        (BranchReply(0.5), "loss", float("nan"), "nan is not between"),
        (BRANCH, "privacy.epsilon", -1.0, "-1.0 is not between"),
        (BRANCH, "privacy.delta", 1.5, "1.5 is not between"),
        (PRIVATE, "privacy.unit", "image", "none of patient"),
        (PRIVATE, "privacy.epsilon", None, "which is no float"),
        (PRIVATE, "privacy.rate", 2.0, "2.0 is not between"),
        (MasksReply("drawn"), "kind", "stolen", "none of deformed, drawn"),
    ],
)
def test_within_their_limits_only(body: Any, path: str, value: Any, reason: str) -> None:
    assert reason in refused(body, path, value)
