# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_facts``: what a site holds."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.data.facts import SiteFacts


@dataclass(frozen=True)
class FactsRequest:
    """Asks for counts, label values, image kinds and versions."""


@dataclass(frozen=True)
class FactsReply:
    """Those facts; no names, paths or pixels."""

    facts: SiteFacts
