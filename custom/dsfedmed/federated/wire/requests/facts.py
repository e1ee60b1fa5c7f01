# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_facts``: what a site holds."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.data.facts import SiteFacts
from dsfedmed.ranges import Sha256


@dataclass(frozen=True)
class FactsRequest:
    """Asks for counts, label values, image kinds and versions."""


@dataclass(frozen=True)
class FactsReply:
    """Those facts; no names, paths or pixels.

    Attributes:
        facts: counts and kinds.
        data_sha256: one digest over the site's datalist and all its files, for the server to see whether they are still
            those that the run began with.
    """

    facts: SiteFacts
    data_sha256: Sha256
