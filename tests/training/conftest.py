# SPDX-License-Identifier: Apache-2.0
"""Seeded tiny networks; property tests without a deadline, since machines are busy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from tests.training.tiny_networks import TinyLight, TinyTeacher

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def teacher() -> TinyTeacher:
    torch.manual_seed(0)
    return TinyTeacher()


@pytest.fixture
def light() -> TinyLight:
    torch.manual_seed(1)
    return TinyLight()
