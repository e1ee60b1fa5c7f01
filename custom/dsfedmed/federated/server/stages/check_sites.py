# SPDX-License-Identifier: Apache-2.0
"""Stage "check sites": what the sites hold, and whether it goes together.

A site whose facts do not go together with those of the majority, whose data have changed since the run began, or that
has other versions than the server, is left out of the run, and a record's event says why. One site can therefore not
stop a federation; too few that are left can. A site whose images look unlike those of the others is told of in an event
and takes part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dsfedmed.data.facts import SiteFacts, agreement
from dsfedmed.data.review.standing_out import standing_out
from dsfedmed.errors import CheckpointError, DataError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.party.site_data import SITE_DATA
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.tasks import FACTS
from dsfedmed.generator.audit import MINIMUM_HELD_OUT
from dsfedmed.methods import uses_teacher
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.packages import differing_versions, versions

LIGHT_START, TEACHER_START = "light start", "teacher start"
RANDOM_START = "random start: no `teacher` file is set for the server"
GIVE_TEACHER = "give --teacher FILE (SAM's weights, or those of `dsfedmed pretrain-teacher`)"


@dataclass(frozen=True)
class StartWeights:
    """Where a network's weights come from, in words, and their hash; None for a random start of the teacher."""

    origin: str
    sha256: str | None


def check_sites(run: FederatedWorkflow, needed: tuple[str, ...] = ("training", "validation", "test")) -> FederationPlan:
    """Ask every site, seen and unseen, for its facts, and go on with those that hold what the majority holds.

    Args:
        run: the workflow; its ``sources`` and ``unseen`` are those that stay.
        needed: parts that every source site must have.

    Raises:
        DataError: naming the site that does not fit, where there is no majority, or where fewer than ``min_sites``
            source sites would stay; or a site set as unseen has not joined.
    """
    with run.stage("check sites"):
        everyone = run.sources + run.unseen
        absent = set(run.settings.unseen) - set(run.unseen)
        if absent:
            raise DataError(", ".join(sorted(absent)), "is set as unseen but has not joined", "Start that site first")
        replies = run.ask(FACTS, Envelope(FactsRequest()), sites=everyone)
        facts = {site: reply.body.facts for site, reply in replies.items()}
        changed = _changed_data(run, {site: reply.body.data_sha256 for site, reply in replies.items()})
        agreed, misfits = agreement(facts)
        fix = "Look into its log; a run that is started again asks it again"
        silent = {
            site: DataError(site, "has sent no facts that can be used", fix) for site in everyone if site not in facts
        }
        _leave_out(run, silent | _lacking(run, facts, needed) | misfits | changed | _other_versions(run, facts))
        present = {site: facts[site] for site in run.sources + run.unseen}
        before = {site: SiteFacts.from_dict(told) for site, told in run.record.data.get("facts", {}).items()}
        if present != before:  # a resumed run asks again, and its record says already who stands out
            _tell_of_looks(run, present)
        run.record.put(
            sites=run.sources, unseen=run.unseen, label_names=list(agreed.label_names),
            facts={site: found.to_dict() for site, found in present.items()},
        )  # fmt: skip
        counts = {site: facts[site].counts["training"] for site in run.sources}
        run.progress.say(", ".join(f"{site} {count}" for site, count in counts.items()) + " training images")
        plan = make_plan(run.settings, run.config, agreed, counts)
        _fix_starts(run, plan)
        return plan


def _changed_data(run: FederatedWorkflow, digests: Mapping[str, str]) -> dict[str, DataError]:
    """Return the sites whose data are no longer those that the run began with; keep the digest of the others' data."""
    known = run.store.get(SITE_DATA).info if run.store.has(SITE_DATA) else {}
    fix = "Put the files back as they were, or start in another run folder"
    reason = "its data have changed since the run began, and what was made of them is in its stages"
    changed = {site for site, digest in digests.items() if known.get(site, digest) != digest}
    run.store.put(SITE_DATA, {**digests, **known})
    return {site: DataError(site, reason, fix) for site in sorted(changed)}


def _other_versions(run: FederatedWorkflow, facts: Mapping[str, SiteFacts]) -> dict[str, DataError]:
    """Return the sites that have other versions than the server; none, but events, where its owner allows that."""
    here = versions()
    told = {site: differing_versions(found.versions, here, "the server") for site, found in facts.items()}
    found = {site: text for site, text in told.items() if text}
    if not run.config.other_versions:
        fix = "Install the same at both, or allow it: other_versions: true in the server's dsfedmed.yaml"
        return {site: DataError(site, f"has {text}", fix) for site, text in found.items()}
    for site, text in found.items():
        run.record.event("other versions", f"it has {text}; the server's owner allows it", run.ledger.stage, None, site)
        run.progress.say(f"{site} has {text}")
    return {}


def _lacking(run: FederatedWorkflow, facts: Mapping[str, SiteFacts], needed: tuple[str, ...]) -> dict[str, DataError]:
    """Return the source sites that lack a part, each with the error that says which."""
    found = {}
    for site in run.sources:
        lacking = [part for part in needed if site in facts and not facts[site].counts.get(part)]
        if lacking:
            fix = f"Give every source site {', '.join(needed)} images"
            found[site] = DataError(site, f"has no {' and no '.join(lacking)} images", fix)
    return found


def _tell_of_looks(run: FederatedWorkflow, facts: Mapping[str, SiteFacts]) -> None:
    """Record which sites stand out by their grey values, labelled share, size or spacing; the run goes on with them."""
    looks = {site: found.look for site, found in facts.items() if found.look is not None}
    for site, sentences in standing_out(looks).items():
        text = "; ".join(sentences)
        question = f"{text}. Is that its device, or are its files read wrongly?"
        run.record.event("stands out", question, run.ledger.stage, None, site)
        run.progress.say(f"{site} stands out: {text}")


def _leave_out(run: FederatedWorkflow, problems: Mapping[str, DataError]) -> None:
    """Go on without these sites, and record why.

    Raises:
        DataError: the first of them, where fewer than ``min_sites`` source sites would be left.
    """
    left = [site for site in run.sources if site not in problems]
    if len(left) < min(run.settings.min_sites, len(run.sources)):
        raise next(problems[site] for site in run.sources if site in problems)
    for site, error in problems.items():
        text = f"it {error.reason}" if error.reason.startswith("has ") else error.reason
        run.record.event("left out", f"{text}. {error.fix}", run.ledger.stage, None, site)
        run.progress.say(f"the run goes on without {site}: {text}")
    run.sources, run.unseen = left, [site for site in run.unseen if site not in problems]


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
    light = StartWeights(origin, digest(trained_tensors(network)))
    given = plan.teacher is not None and plan.teacher.is_file()  # a missing one is told of where it is needed
    teacher = StartWeights(
        "the file `teacher`" if given else RANDOM_START,
        plan.teacher_init.sha256 if given else None,
    )
    _fix(run, LIGHT_START, light, "light_weights")
    _fix(run, TEACHER_START, teacher, "teacher")
    run.record.put(light=asdict(light), teacher_weights=asdict(teacher))
    run.progress.say(f"light network: {origin}")
    if uses_teacher(run.METHOD) and teacher.sha256 is None:
        run.progress.say(f"teacher: {teacher.origin}. It has SAM's design and knows nothing yet: {GIVE_TEACHER}")


def _fix(run: FederatedWorkflow, name: str, start: StartWeights, setting: str) -> None:
    """Keep where a network starts; refuse another start for a resumed run."""
    if not run.store.has(name):
        run.store.put(name, asdict(start))
    known = run.store.get(name).info
    if known["sha256"] != start.sha256:
        fix = "Give the file that the run began with, or start in another run folder"
        raise CheckpointError(setting, f"the run began otherwise ({known['origin']})", fix)
