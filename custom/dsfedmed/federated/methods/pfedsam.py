# SPDX-License-Identifier: Apache-2.0
"""pFedSAM (arXiv 2509.15638): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import require_simulation
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.comparison import compare, compared_stages
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.global_branch import global_training, release_global, start_global
from dsfedmed.federated.server.stages.own.cross_site import crossed_stages
from dsfedmed.federated.server.training_run import train_all_rounds
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.tasks import PERSONAL, TRAIN
from dsfedmed.options import require
from dsfedmed.settings import Settings
from dsfedmed.training.personal_config import PersonalConfig

OF_WHOLE_UPDATES = ("mean", "multi_krum")
"""Rules that choose among the sites and leave the mean to `ProductMean`."""


class PFedSam(FederatedWorkflow):
    """A global low-rank branch of SAM everywhere, and at every site a personal branch with experts that stays there."""

    METHOD = "pfedsam"
    UPDATES = (PERSONAL, TRAIN)

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        wanted = compared_stages(settings.compare)
        scored = ("evaluate comparison",) if wanted else ()
        return ("check sites", "rounds", *wanted, "evaluate", *scored, *crossed_stages(settings.compare), "release")

    def check_options(self) -> None:
        """Raise ``ConfigError`` naming the first option that is unknown or out of range."""
        config, rounds = PersonalConfig.from_dict(self.settings.method), self.settings.rounds
        warmup = config.warmup_rounds
        reason = f"{warmup} of {rounds} rounds, so that no personal branch would ever be trained"
        require(warmup < rounds, "method.warmup_rounds", reason, "Give fewer than `rounds`")
        reason = "low-rank updates are averaged as products, which rules on single numbers do not keep"
        fix = f"Choose one of {', '.join(OF_WHOLE_UPDATES)}, or method.mean: factors"
        fits = config.mean == "factors" or self.settings.robust.rule in OF_WHOLE_UPDATES
        require(fits, "robust.rule", reason, fix)

    def work(self) -> None:
        """Two branches at every site; the server averages the global ones."""
        config = PersonalConfig.from_dict(self.settings.method)
        plan = check_sites(self)
        require_simulation(self)
        state = train_all_rounds(self, plan, global_training(self, config), start_global(self, plan))
        others = compare(self, plan, state)
        branches = {
            "pfedsam": ScoredModel(state.best, "low_rank", own=PERSONAL, personal=config),
            "pfedsam_global": ScoredModel(state.best, "low_rank"),
        }
        evaluate(self, plan, branches, others)
        release_global(self, plan, state.best)
