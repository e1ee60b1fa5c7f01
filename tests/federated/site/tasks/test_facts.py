# SPDX-License-Identifier: Apache-2.0
"""What a site tells of its data: counts and kinds, and neither names nor paths."""

from __future__ import annotations

from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.facts import report_facts
from dsfedmed.federated.wire.message import Envelope, open_reply, reply_message
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.tasks import FACTS
from tests.federated.tiny import over_the_wire


def test_counts_and_kinds_leave_and_nothing_else(site: SiteContext) -> None:
    reply = report_facts(site, Envelope(FactsRequest()))
    facts = reply.body.facts
    assert facts.counts == {"training": 6, "validation": 3, "test": 2}
    assert (facts.channels, facts.num_classes, facts.nested, facts.suffixes) == (1, 1, True, (".png",))
    assert reply.tensors == {}
    names = {path.stem for path in site.config.need("data").rglob("*.png")}
    assert names
    assert not [name for name in names if name in str(facts)]
    assert str(site.config.data) not in str(facts)


def test_they_arrive_as_they_were_told(site: SiteContext) -> None:
    reply = report_facts(site, Envelope(FactsRequest()))
    assert open_reply(FACTS, over_the_wire(reply_message(reply)), "site_a").body == reply.body
