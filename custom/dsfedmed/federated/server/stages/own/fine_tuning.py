# SPDX-License-Identifier: Apache-2.0
"""Stage "fine-tune": every source site trains the network of the rounds on its own images, and keeps it to itself."""

from __future__ import annotations

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import LocalReply, LocalRequest
from dsfedmed.federated.wire.tasks import FINE_TUNE
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.baselines.options import FineTuneOptions
from dsfedmed.training.step_rules import StepRules

STAGE = "fine-tune"


def fine_tune(run: FederatedWorkflow, plan: FederationPlan, state: TrainingState, asked: FineTuneOptions) -> None:
    """Let the sites train on from the chosen round's weights; their steps count as the method's."""
    light = run.settings.light

    def check(site: str, reply: Envelope[LocalReply]) -> None:
        most = asked.epochs * -(-plan.counts[site] // light.batch_size)
        if reply.body.epoch > asked.epochs or reply.body.steps > most:
            reason = f"claims pass {reply.body.epoch} of {asked.epochs}, and {reply.body.steps} of {most} steps"
            raise PayloadError(site, reason, SAME_VERSION)

    def make() -> StageResult:
        rules = StepRules(asked.rate_factor, light.ramp_steps, light.clip_norm)
        body = LocalRequest(plan.common, asked.epochs, light.batch_size, light.rate_schedule, rules)
        packed = {f"{WEIGHTS}{name}": tensor for name, tensor in pack(state.best, light.precision).items()}
        replies = run.ask(FINE_TUNE, Envelope(body, packed), on_reply=check)
        found = {
            site: {"epoch": reply.body.epoch, "steps": reply.body.steps, "validation": reply.body.validation}
            for site, reply in replies.items()
        }
        return StageResult({"sites": found}, {})

    sites = run.once(STAGE, make).info["sites"]
    state.steps += sum(found["steps"] for found in sites.values())
    run.record.add("budgets", **{run.METHOD: {"rounds": state.round, "local_steps": state.steps}})
    chosen = ", ".join(f"{site} pass {found['epoch']}" for site, found in sites.items())
    run.progress.say(f"fine-tuned, best by each site's own validation: {chosen} of {asked.epochs}")
