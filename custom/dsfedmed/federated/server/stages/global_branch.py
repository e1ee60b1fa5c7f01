# SPDX-License-Identifier: Apache-2.0
"""pFedSAM's global branch at the server: where it starts, how it is averaged, and how it is released."""

from __future__ import annotations

from functools import partial

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.product_mean import ProductMean
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.release import release_bundle
from dsfedmed.federated.server.stages.teacher import start_teacher, with_low_rank
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.requests.training import PersonalRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import PERSONAL
from dsfedmed.networks.lora import merge_lora
from dsfedmed.networks.promptless_sam import BUNDLE, PromptlessSam
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.training.personal_config import PersonalConfig


def global_training(run: FederatedWorkflow, config: PersonalConfig) -> TrainingSpec:
    """Return the training run of the global branch; what a mean of products loses at rank r is tracked."""

    def cut(share: float) -> None:
        run.track("pfedsam/cut_by_rank", share, len(run.record.data["curves"].get("pfedsam", [])) + 1)

    mean_of = partial(ProductMean, on_cut=cut) if config.mean == "product" else WeightedMean

    def request(plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, beside: Beside) -> PersonalRequest:
        del spec, beside
        return PersonalRequest(plan.common, facts, plan.teacher_spec, plan.teacher_init, config)

    return TrainingSpec("pfedsam", "low_rank", task=PERSONAL, request=request, mean_of=mean_of)


def start_global(run: FederatedWorkflow, plan: FederationPlan) -> Weights:
    """Return what travels of the teacher with low-rank updates: those, the decoder, and the code of positions."""
    return copied_tensors(global_network(run, plan))


def release_global(run: FederatedWorkflow, plan: FederationPlan, weights: Weights) -> None:
    """Write the global branch, its updates merged into SAM's weights, as a bundle for sites that took no part.

    A personal branch stays at its site, as a bundle in ``personal/release`` of the site's own folder.
    """
    network = global_network(run, plan)
    network.load_state_dict(weights, strict=False)
    size = plan.settings.teacher_size
    settings = {
        "image_size": [size, size],
        "variant": plan.settings.teacher_variant,
        "in_channels": plan.facts.channels,
        "num_classes": plan.facts.num_classes,
        "nested": plan.facts.nested,
        "normalise": plan.settings.teacher.normalise,
    }
    allowed = run.config.bundle_classes
    bundle = BundleDefinition(run.config.need("bundles") / BUNDLE, settings, also_allowed=allowed)
    release_bundle(run, plan, bundle, dict(merge_lora(network).state_dict()), "pfedsam_global")


def global_network(run: FederatedWorkflow, plan: FederationPlan) -> PromptlessSam:
    """Return the teacher with low-rank updates, as the run starts it."""
    return with_low_rank(plan, start_teacher(run, plan)[0])
