# SPDX-License-Identifier: Apache-2.0
"""How many sites a robust rule needs so that the bad ones are outvoted."""

from __future__ import annotations

from dsfedmed.errors import ConfigError


def require_outvoted(rule: str, sites: int, bad: int, least: int) -> None:
    """Refuse a rule where too few sites take part.

    Args:
        rule: its name in the settings.
        sites: that sent an update.
        bad: sites that may be bad.
        least: sites that the rule needs for that.

    Raises:
        ConfigError: naming both numbers.
    """
    if sites < least:
        reason = f"{rule} needs {least} sites or more to outvote {bad} bad, and {sites} sent an update"
        raise ConfigError("robust.rule", reason, "Choose geometric_median or mean, or lower robust.bad_sites")
