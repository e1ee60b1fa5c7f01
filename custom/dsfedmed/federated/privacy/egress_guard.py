# SPDX-License-Identifier: Apache-2.0
"""The egress guard's path up to version 0.3; it is `dsfedmed.flare.privacy.egress_guard.EgressGuard` now."""

from __future__ import annotations

from dsfedmed.federated.privacy import refuse_moved


class EgressGuard:
    """Refuses to be made, whatever its arguments.

    Raises:
        ConfigError: always, with the path of the guard.
    """

    def __init__(self, *_: object, **__: object) -> None:
        refuse_moved(f"{__name__}.EgressGuard", "dsfedmed.flare.privacy.egress_guard.EgressGuard")
