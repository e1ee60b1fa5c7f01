# SPDX-License-Identifier: Apache-2.0
"""Seeded tiny networks."""

from __future__ import annotations

import pytest
import torch

from tests.training.tiny_networks import TinyLight, TinyTeacher


@pytest.fixture
def teacher() -> TinyTeacher:
    torch.manual_seed(0)
    return TinyTeacher()


@pytest.fixture
def light() -> TinyLight:
    torch.manual_seed(1)
    return TinyLight()
