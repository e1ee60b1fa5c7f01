# SPDX-License-Identifier: Apache-2.0
"""What a site's privacy filter states about a reply, as the server takes it into the run's record."""

from __future__ import annotations

from typing import Any

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.message import Message

STATED = "privacy"
NUMBERS = ("clip", "noise_multiplier", "epsilon", "delta", "releases")


def stated(site: str, reply: Message) -> dict[str, Any] | None:
    """Return the statement that came with a reply, or None where there is none.

    Raises:
        PayloadError: it is not the one of `dsfedmed.flare.privacy.gaussian`.
    """
    said = reply.info.get(STATED)
    if said is None:
        return None
    is_known = isinstance(said, dict) and set(said) == {"mechanism", *NUMBERS} and said["mechanism"] == "gaussian"
    if not is_known or not all(said[name] is None or type(said[name]) in (int, float) for name in NUMBERS):
        raise PayloadError(site, "stated its privacy in an unknown form", "Use the same version of dsfedmed everywhere")
    return dict(said)
