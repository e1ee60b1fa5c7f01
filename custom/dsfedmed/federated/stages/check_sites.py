# SPDX-License-Identifier: Apache-2.0
"""Stage "check sites": what the sites hold, and whether it goes together."""

from __future__ import annotations

from dsfedmed.data.facts import SiteFacts, merge_facts
from dsfedmed.errors import DataError
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan, make_plan
from dsfedmed.federated.workflow import FederatedWorkflow


def check_sites(flow: FederatedWorkflow) -> Plan:
    """Ask every site, seen and unseen, for its facts; a mismatch stops the run with the site named."""
    with flow.stage("check sites"):
        everyone = flow.sources + flow.unseen
        absent = set(flow.settings.unseen) - set(flow.unseen)
        if absent:
            raise DataError(", ".join(sorted(absent)), "is set as unseen but has not joined", "Start that site first")
        replies = flow.ask("dsf_facts", Message(), sites=everyone, at_least=len(everyone))
        facts = {site: SiteFacts.from_dict(reply.info["facts"]) for site, reply in replies.items()}
        agreed = merge_facts(facts)
        for site in flow.sources:
            lacking = [part for part in ("training", "validation", "test") if not facts[site].counts.get(part)]
            if lacking:
                mend = "Give every source site training, validation and test images"
                raise DataError(site, f"has no {' and no '.join(lacking)} images", mend)
        flow.record.put(facts={s: f.to_dict() for s, f in facts.items()}, label_names=list(agreed.label_names))
        counts = {site: facts[site].counts["training"] for site in flow.sources}
        flow.progress.say(", ".join(f"{site} {count}" for site, count in counts.items()) + " training images")
        return make_plan(flow.settings, flow.config, agreed, counts)
