# SPDX-License-Identifier: Apache-2.0
"""Scores of finished networks: fractions and pixels by class, and names that lead nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.detection import DetectedCounts
from dsfedmed.federated.wire.codec import from_json, to_object
from dsfedmed.federated.wire.message import SiteError
from dsfedmed.federated.wire.requests.evaluation import (
    CaseScores,
    EvaluateReply,
    EvaluateRequest,
    LegacyPair,
)
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.wire.requests.bodies import PLAN, comes_back, refused

REQUEST = EvaluateRequest(
    PLAN.common, PLAN.teacher_spec, PLAN.teacher_init, {"dsfedmed": "light", "local@site_a": "light"},
    legacy_eval=True, pictures=("dsfedmed",), personal=PersonalConfig(experts=3),
    site_networks={"site_a": PLAN.light_spec}, picture_pair=("dsfedmed", "fedavg"),
)  # fmt: skip
CASE = CaseScores((0.5, 1.0), (0.25, 1.0), (3.5, 0.0), 2)
REPLY = EvaluateReply(
    {"dsfedmed": (CASE, replace(CASE, case=None))},
    {"dsfedmed": LegacyPair(0.5, 0.25)},
    ("dsfedmed",),
    {"dsfedmed": SiteError("site_a", "r", "f")},
    {"dsfedmed": (DetectedCounts(3, 1, 0), DetectedCounts(0, 0, 2))},
)


def test_both_come_back() -> None:
    found = comes_back(REQUEST)
    assert found.networks == REQUEST.networks
    assert (found.personal, found.pictures, found.legacy_eval) == (PersonalConfig(experts=3), ("dsfedmed",), True)
    assert found.picture_pair == ("dsfedmed", "fedavg")
    assert comes_back(REPLY) == REPLY
    assert comes_back(EvaluateReply({})) == EvaluateReply({})


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("networks", {"../x": "light"}, "'../x' is not of the form"),
        ("networks", {"dsfedmed": "shell"}, "which is none of light, teacher"),
        ("picture_pair", ["dsfedmed", "../x"], "'../x' is not of the form"),
        ("pictures", ["a/b"], "'a/b' is not of the form"),
        ("personal.top_k", 9, "method.top_k"),
        ("personal.direction", "sideways", "which is none of both"),
        ("site_networks", {"../x": {}}, "'../x' is not of the form"),
    ],
)
def test_a_request_within_its_limits_only(path: str, value: Any, reason: str) -> None:
    assert reason in refused(REQUEST, path, value)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("cases.dsfedmed.0.dice", [0.5, 1.5], "1.5 is not between 0 and 1"),
        ("cases.dsfedmed.0.iou", [-0.1, 1.0], "-0.1 is not between 0 and 1"),
        ("cases.dsfedmed.0.hd95", [float("nan"), 0.0], "nan is not between"),
        ("cases.dsfedmed.0.hd95", [-1.0, 0.0], "-1.0 is not between"),
        ("cases.dsfedmed.0.dice", [0.5], "the same number of classes"),
        ("cases.dsfedmed.0.case", -1, "-1 is not between"),
        ("cases.dsfedmed.0.case", "smith", "which is no int"),
        ("cases", {"../x": []}, "'../x' is not of the form"),
        ("detected.dsfedmed.0.missed", 4, "missed is more than present"),
        ("detected.dsfedmed.0.false_alarms", -1, "-1 is not between"),
        ("detected", {"../x": []}, "'../x' is not of the form"),
        ("legacy.dsfedmed.dice", 2.0, "2.0 is not between"),
        ("site_specific", ["a b"], "'a b' is not of the form"),
        ("unreleased.dsfedmed.reason", "x" * 4001, "4001 entries are more than 4000"),
    ],
)
def test_a_reply_within_its_limits_only(path: str, value: Any, reason: str) -> None:
    assert reason in refused(REPLY, path, value)


def test_a_case_without_a_class_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        CaseScores((), (), ())
    content = to_object(EvaluateReply({"dsfedmed": (CASE,)}))
    content["cases"]["dsfedmed"][0] = {"dice": [], "iou": [], "hd95": []}  # type: ignore[index, call-overload]
    with pytest.raises(PayloadError, match="site_a: sent EvaluateReply that makes no sense"):
        from_json(EvaluateReply, content, "site_a")


def test_no_more_classes_than_a_label_map_can_hold() -> None:
    assert "256 entries are more than 255" in refused(REPLY, "cases.dsfedmed.0.dice", [0.5] * 256)
