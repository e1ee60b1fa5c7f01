# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed's requests: the method's options as a job has them, and shares that are shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.wire.requests.semi_supervised import (
    AgreeReply,
    AgreeRequest,
    FuseRequest,
    LabelReply,
    LabelRequest,
    PublicReply,
    PublicRequest,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.training.semi_supervised.config import SamFedConfig
from tests.federated.wire.requests.bodies import PLAN, ROUND, comes_back, manifest_in, refused

CONFIG = SamFedConfig(threshold=0.8, site_bundles={"site_a": "light_unet_segmentation"})
REPLY = AgreeReply(3, None, 0.5, 7, agreement=0.75)


def test_all_come_back(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path)
    label = LabelRequest(
        PLAN.common, SetOffer(manifest, "server"), "low_rank", PLAN.teacher_spec, PLAN.teacher_init, CONFIG
    )
    agree = AgreeRequest(PLAN.common, ROUND, manifest, CONFIG, False)
    fuse = FuseRequest(PLAN.common, ROUND, manifest, CONFIG, True, {"site_a": PLAN.light_spec})
    for body in (label, agree, fuse):
        assert comes_back(body).config == CONFIG
    assert comes_back(agree).teacher_active is False
    offered = PublicRequest(SetOffer(manifest, "server"))
    assert comes_back(offered) == offered
    for reply in (REPLY, LabelReply(6, 4, 1.0), PublicReply(4)):
        assert comes_back(reply) == reply


def test_a_round_s_reply_is_one_of_training_with_the_agreement() -> None:
    assert isinstance(REPLY, TrainReply)
    assert AgreeReply(3).agreement == 0.0
    assert "unknown key 'agreement'" in refused(TrainReply(3), "agreement", 0.5)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("config.threshold", 1.5, "method.threshold"),
        ("config.rule", "mine", "none of agreement"),
        ("config.site_bundles", {"site_a": "../x"}, "method.site_bundles.site_a"),
        ("config.label_site", 3, "which is no str"),
        ("teacher_active", 1, "which is no bool"),
        ("round.training", "..", "'..' is not of the form"),
        ("public.sha256", "0" * 64, "synthetic-set manifest"),
    ],
)
def test_a_request_within_its_limits_only(tmp_path: Path, path: str, value: Any, reason: str) -> None:
    body = AgreeRequest(PLAN.common, ROUND, manifest_in(tmp_path), CONFIG, True)
    assert reason in refused(body, path, value)


@pytest.mark.parametrize(
    ("body", "path", "value", "reason"),
    [
        (REPLY, "agreement", 1.01, "1.01 is not between"),
        (REPLY, "steps", -1, "-1 is not between"),
        (REPLY, "validation", 2, "2.0 is not between"),
        (LabelReply(6, 4, 1.0), "confidence", float("nan"), "nan is not between"),
        (LabelReply(6, 4, 1.0), "images", -1, "-1 is not between"),
        (PublicReply(4), "public", -1, "-1 is not between"),
    ],
)
def test_a_reply_within_its_limits_only(body: Any, path: str, value: Any, reason: str) -> None:
    assert reason in refused(body, path, value)


def test_what_travels_of_the_teacher_is_one_of_two(tmp_path: Path) -> None:
    body = LabelRequest(
        PLAN.common, SetOffer(manifest_in(tmp_path), "server"), "teacher", PLAN.teacher_spec, None, CONFIG
    )
    assert comes_back(body).teacher_init is None
    assert "none of teacher, low_rank" in refused(body, "kind", "light")
