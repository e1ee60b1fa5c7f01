# SPDX-License-Identifier: Apache-2.0
"""pFedSAM's global branch at the server: where it starts, how it is averaged, and how it is released."""

from __future__ import annotations

from functools import partial

from dsfedmed.algorithms.product_mean import ProductMean
from dsfedmed.federated.arm import Arm
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_tasks.networks import copied_tensors, with_low_rank
from dsfedmed.federated.site_tasks.personal_release import BUNDLE
from dsfedmed.federated.stages.generators import Weights
from dsfedmed.federated.stages.release import release_bundle
from dsfedmed.federated.stages.teacher import start_teacher
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.networks.bundle import BundleDefinition
from dsfedmed.networks.lora import merge_lora
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.training.personal import PersonalConfig


def global_arm(flow: FederatedWorkflow, config: PersonalConfig) -> Arm:
    """Return the arm of the global branch; what the mean of a round loses at rank r is tracked."""

    def cut(share: float) -> None:
        flow.track("pfedsam/cut_by_rank", share, len(flow.record.data["curves"].get("pfedsam", [])) + 1)

    mean_of = partial(ProductMean, on_cut=cut)
    return Arm("pfedsam", "low_rank", config.learning_rate, task="dsf_personal", mean_of=mean_of)


def start_global(flow: FederatedWorkflow, plan: Plan) -> Weights:
    """Return what travels of the teacher with low-rank updates: those, the decoder, and the code of positions."""
    return copied_tensors(_global_network(flow, plan))


def release_global(flow: FederatedWorkflow, plan: Plan, weights: Weights) -> None:
    """Write the global branch, its updates merged into SAM's weights, as a bundle for sites that took no part.

    A personal branch stays at its site, as a bundle in ``personal/release`` of the site's own folder.
    """
    network = _global_network(flow, plan)
    network.load_state_dict(weights, strict=False)
    size = plan.settings.teacher_size
    overrides = {
        "image_size": [size, size],
        "variant": plan.settings.teacher_variant,
        "in_channels": plan.facts.channels,
        "num_classes": plan.facts.num_classes,
        "nested": plan.facts.nested,
    }
    bundle = BundleDefinition(flow.config.need("bundles") / BUNDLE, overrides)
    release_bundle(flow, plan, bundle, dict(merge_lora(network).state_dict()), "pfedsam_global")


def _global_network(flow: FederatedWorkflow, plan: Plan) -> PromptlessSam:
    return with_low_rank(start_teacher(flow, plan)[0], plan.teacher_foundation)
