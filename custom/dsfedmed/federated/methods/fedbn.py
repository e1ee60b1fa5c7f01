# SPDX-License-Identifier: Apache-2.0
"""FedBN (Li et al., ICLR 2021, arXiv 2102.07623): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.algorithms.local_layers import divide, local_names
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import site_folders
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.comparison import compare, compared_stages
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.release import release
from dsfedmed.federated.server.training_run import TrainingSpec, train_all_rounds
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.tasks import LOCAL_LAYERS, TRAIN
from dsfedmed.options import require
from dsfedmed.settings import Settings


class FedBN(FederatedWorkflow):
    """FedAvg of everything but normalisation layers, which stay at their site.

    An unseen site has no such layers. It is scored with the server's network, which has those of the start, and so is
    every site under "fedbn_shared": what the federation gives to sites that took no part.
    """

    METHOD = "fedbn"
    UPDATES = (LOCAL_LAYERS, TRAIN)

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        wanted = compared_stages(settings.compare)
        scored = ("evaluate comparison",) if wanted else ()
        return ("check sites", "rounds", *wanted, "evaluate", *scored, "release")

    def work(self) -> None:
        """Rounds in which only the shared layers travel; then what it is compared with, and the release."""
        plan = check_sites(self)
        if self.settings.compare.centralised:
            site_folders(self)
        local = _local_names(plan)
        start = plan.start_weights()
        spec = TrainingSpec("fedbn", task=LOCAL_LAYERS)
        state = train_all_rounds(self, plan, spec, divide(start, local)[0])
        others = compare(self, plan, state)
        server = {**start, **state.best}
        ours = {"fedbn": ScoredModel(server, own=LOCAL_LAYERS), "fedbn_shared": ScoredModel(server)}
        evaluate(self, plan, ours, others)
        release(self, plan, state.best, scored="fedbn_shared")


def _local_names(plan: FederationPlan) -> frozenset[str]:
    """Return the names of what stays at the sites, every one of which starts it as a new layer does.

    Raises:
        ConfigError: the network has nothing that could stay, or starts from weights that the sites do not have.
    """
    reason = "its network is trained, and the sites begin FedBN's normalisation layers as new ones"
    require(plan.light_weights is None, "light_weights", reason, "Leave it out, or run another method")
    local = local_names(plan.light_network())
    reason = f"{plan.settings.light.bundle} has no normalisation layers with scale and shift, so this would be FedAvg"
    require(bool(local), "light.bundle", reason, "Name another bundle, or run FedAvg as a comparison of DSFedMed")
    return local
