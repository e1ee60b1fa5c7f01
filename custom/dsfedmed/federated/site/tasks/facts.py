# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_facts``: counts, label values, image kinds, versions and one digest; no names, paths or pixels."""

from __future__ import annotations

from dsfedmed.data.facts import site_facts
from dsfedmed.devices import require_device
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest


def report_facts(site: SiteContext, _: Envelope[FactsRequest]) -> Envelope[FactsReply]:
    """Report what the server must know to agree on channels and classes, and whether the data are those of before.

    Raises:
        ConfigError: this machine has not the device that the site's configuration names.
    """
    require_device(site.config.device)
    return Envelope(FactsReply(site_facts(site.datalist), site.data_sha256))
