# SPDX-License-Identifier: Apache-2.0
"""Property tests without a clock: machines are busy, and a slow draw is no fault of the code."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
