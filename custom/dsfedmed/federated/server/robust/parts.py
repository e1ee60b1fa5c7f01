# SPDX-License-Identifier: Apache-2.0
"""Stage "score parts": each site's part of the synthetic set is scored, and a bad one is left out before it is learned.

A hospital with wrong masks, or a branch that draws one thing, would teach every site and the teacher. What is asked of
a part stands in `part_scoring`. The site of one that is left out is told, and takes part in all else.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import count

from torch import nn

from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.robust.part_scoring import PartScoring
from dsfedmed.federated.server.robust.part_training import STAGE, PartTraining, halved_parts
from dsfedmed.federated.server.stages.synthetic_set import SealedSet, sealed_without
from dsfedmed.federated.server.training_run import TrainingSpec, tried
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import TrainRequest
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.ranges import LONGEST_LINE
from dsfedmed.store.stage_store import StageResult

NAME, NOTICE = "parts", "parts_notice"
"""Of the trainings whose validation the sites are asked for."""
LOOK = "Look at this site's masks and at what its branch draws"


def score_parts(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet) -> SealedSet:
    """Return the set without the parts that are bad; the very same set where none is, or where nothing is asked.

    Raises:
        DSFedMedError: no part is left.
    """
    if not run.settings.robust.parts:
        return sealed

    def make() -> StageResult:
        scoring = _scored(run, plan, sealed)
        bad = {site: score.left_out for site, score in scoring.found.items() if score.left_out}
        for site, text in bad.items():
            said = f"its part of the synthetic set is left out: it {text}"
            run.record.event("refused", f"{said}. {LOOK}", STAGE, None, site)
            run.progress.say(f"{site}: {said}")
        if set(sealed.pool.origin) <= bad.keys():
            told = "; ".join(f"that of {site} {text}" for site, text in bad.items())
            fix = "Fit the branches for more steps (generator.branch_steps), look at the sites' masks and at the "
            fix += "pictures in `synthetic`, or take the set as it is (robust.parts: false)"
            raise DSFedMedError(STAGE, f"no site's part of the synthetic set can be learned from ({told})", fix)
        for site, text in bad.items():
            _tell(run, plan, site, f"this site's part of the synthetic set is left out: it {text}. {LOOK}")
        return StageResult({"sites": {site: asdict(score) for site, score in scoring.found.items()}}, {})

    found = run.once(STAGE, make).info["sites"]
    run.record.put(parts=found)
    return sealed_without(run, sealed, {site for site, score in found.items() if score["left_out"]})


def _scored(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet) -> PartScoring:
    """Ask both questions about every part."""
    numbers = count(1)  # one for every network: a run that is started again finds the sites' answers

    def validate(network: nn.Module) -> dict[str, float]:
        facts = plan.round_facts(NAME, next(numbers), 0)
        return tried(run, plan, TrainingSpec(NAME), facts, copied_tensors(network), run.sources)

    training = PartTraining(plan, halved_parts(sealed.pool, run.settings.seed), run.config.device)
    scoring = PartScoring(training, run.settings.robust, validate, run.progress.say)
    scoring.ask_for_adherence()
    for _ in range(run.settings.robust.bad_sites):
        if not scoring.ask_for_harm():
            break
    return scoring


def _tell(run: FederatedWorkflow, plan: FederationPlan, site: str, text: str) -> None:
    """Send a site a notice, with a request that costs it one validation; the run goes on where it does not answer."""
    facts, start = plan.round_facts(NOTICE, 1, 0), pack(plan.start_weights(), run.settings.light.precision)
    body = TrainRequest(plan.common, facts, "light", plan.teacher_spec, notice=text[:LONGEST_LINE])
    request = Envelope(body, {WEIGHTS + name: tensor for name, tensor in start.items()})
    run.ask(TRAIN, request, sites=[site], at_least=0)
