# SPDX-License-Identifier: Apache-2.0
"""Stage "check sites": what the sites hold, and whether it goes together."""

from __future__ import annotations

from typing import Any

from dsfedmed.data.facts import SiteFacts, merge_facts
from dsfedmed.errors import CheckpointError, DataError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.generator.audit import MINIMUM_HELD_OUT
from dsfedmed.networks.trained_tensors import trained_tensors

LIGHT_START, TEACHER_START = "light start", "teacher start"


def check_sites(run: FederatedWorkflow, needed: tuple[str, ...] = ("training", "validation", "test")) -> FederationPlan:
    """Ask every site, seen and unseen, for its facts; a mismatch stops the run with the site named.

    Args:
        run: the workflow.
        needed: parts that every source site must have.
    """
    with run.stage("check sites"):
        everyone = run.sources + run.unseen
        absent = set(run.settings.unseen) - set(run.unseen)
        if absent:
            raise DataError(", ".join(sorted(absent)), "is set as unseen but has not joined", "Start that site first")
        replies = run.ask("dsf_facts", Message(), sites=everyone, at_least=len(everyone))
        facts = {site: SiteFacts.from_dict(reply.info["facts"]) for site, reply in replies.items()}
        agreed = merge_facts(facts)
        for site in run.sources:
            lacking = [part for part in needed if not facts[site].counts.get(part)]
            if lacking:
                fix = f"Give every source site {', '.join(needed)} images"
                raise DataError(site, f"has no {' and no '.join(lacking)} images", fix)
        run.record.put(facts={s: f.to_dict() for s, f in facts.items()}, label_names=list(agreed.label_names))
        counts = {site: facts[site].counts["training"] for site in run.sources}
        run.progress.say(", ".join(f"{site} {count}" for site, count in counts.items()) + " training images")
        plan = make_plan(run.settings, run.config, agreed, counts)
        _fix_starts(run, plan)
        return plan


def require_auditors(run: FederatedWorkflow) -> None:
    """See that enough sites can audit a synthetic set, before hours of work on one.

    Raises:
        DataError: fewer than ``min_sites`` source sites have the validation images that the copy check needs.
    """
    counts = {site: run.record.data["facts"][site]["counts"]["validation"] for site in run.sources}
    unable = {site: count for site, count in counts.items() if count < MINIMUM_HELD_OUT}
    said = ", ".join(f"{site} {count}" for site, count in unable.items())
    reason = f"{said}: fewer than the {MINIMUM_HELD_OUT} validation images that the audit's copy check needs"
    if len(counts) - len(unable) < run.settings.min_sites:
        fix = f"Give {run.settings.min_sites} source sites that many"
        raise DataError("check sites", reason, fix)
    if unable:
        nothing = "nobody looks for copies of their images in the set, and they train without it"
        run.progress.say(f"{reason}; {nothing}")


def _fix_starts(run: FederatedWorkflow, plan: FederationPlan) -> None:
    """Record where the light network and the teacher start, before any work is done.

    Raises:
        CheckpointError: the light network's weights file is missing or of another network, or either file has changed
            since the run began: methods that start from different weights cannot be compared.
    """
    network, origin = plan.start_light()
    light = {"origin": origin, "sha256": digest(trained_tensors(network))}
    given = plan.teacher is not None and plan.teacher.is_file()  # a missing one is told of where it is needed
    teacher = {
        "origin": "the file `teacher`" if given else "random start: no `teacher` file is set for the server",
        "sha256": plan.teacher_init["sha256"] if given else None,
    }
    _fix(run, LIGHT_START, light, "light_weights")
    _fix(run, TEACHER_START, teacher, "teacher")
    run.record.put(light=light, teacher_weights=teacher)
    run.progress.say(f"light network: {origin}")


def _fix(run: FederatedWorkflow, name: str, start: dict[str, Any], setting: str) -> None:
    """Keep where a network starts; refuse another start for a resumed run."""
    if not run.store.has(name):
        run.store.put(name, start)
    known = run.store.get(name).info
    if known["sha256"] != start["sha256"]:
        fix = "Give the file that the run began with, or begin anew in another run folder"
        raise CheckpointError(setting, f"the run began otherwise ({known['origin']})", fix)
