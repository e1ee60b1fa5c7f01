# SPDX-License-Identifier: Apache-2.0
"""Rounds of sites without labels: the options arrive as the method's own, and within their ranges only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.wire.requests.unlabelled import UnlabelledRequest
from dsfedmed.training.baselines.unlabelled_options import FixMatchOptions, LsslOptions, MeanTeacherOptions
from tests.federated.wire.requests.bodies import PLAN, ROUND, comes_back, manifest_in, refused

OPTIONS = (
    FixMatchOptions(threshold=0.9, label_site="site_a"),
    MeanTeacherOptions(decay=0.5, select="public"),
    LsslOptions(flip=0.2),
)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: type(each).__name__)
def test_the_options_say_which_method_it_is(options: Any, tmp_path: Path) -> None:
    body = comes_back(UnlabelledRequest(PLAN.common, ROUND, manifest_in(tmp_path), options))
    assert type(body.config) is type(options)
    assert body.config == options


@pytest.mark.parametrize(
    ("options", "path", "value", "reason"),
    [
        (OPTIONS[0], "config.threshold", 1.5, "method.threshold"),
        (OPTIONS[0], "config.rate_factor", 0.0, "method.rate_factor"),
        (OPTIONS[1], "config.decay", 1.0, "method.decay"),
        (OPTIONS[1], "config.ramp_rounds", 0, "method.ramp_rounds"),
        (OPTIONS[2], "config.select", "best", "none of last"),
        (OPTIONS[2], "config.gate", "x", "which is no float"),
        (OPTIONS[1], "config.momentum", 0.5, "unknown key"),
        (OPTIONS[2], "config.flip", 0.5, "method.flip"),
        (OPTIONS[0], "public.sha256", "0" * 64, "synthetic-set manifest"),
    ],
)
def test_a_request_within_its_limits_only(options: Any, path: str, value: Any, reason: str, tmp_path: Path) -> None:
    assert reason in refused(UnlabelledRequest(PLAN.common, ROUND, manifest_in(tmp_path), options), path, value)
