# SPDX-License-Identifier: Apache-2.0
"""DSFedMed (arXiv 2601.16073): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.federated.server.given_base import check_given_base
from dsfedmed.federated.server.robust.part_training import STAGE as SCORE_PARTS
from dsfedmed.federated.server.robust.parts import score_parts
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import require_simulation
from dsfedmed.federated.server.stages.check_sites import check_sites, require_auditors
from dsfedmed.federated.server.stages.comparison import compare, compared_stages
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.generators import fit_branches, frozen_base, trains_base
from dsfedmed.federated.server.stages.head_start import STAGE as HEAD_START
from dsfedmed.federated.server.stages.head_start import Start, head_start
from dsfedmed.federated.server.stages.own.cross_site import crossed_stages
from dsfedmed.federated.server.stages.release import release
from dsfedmed.federated.server.stages.rounds import distilled_rounds
from dsfedmed.federated.server.stages.synthetic_set import audit, synthesise
from dsfedmed.federated.server.stages.teacher import adapt_teacher
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.settings import Settings


class DSFedMed(FederatedWorkflow):
    """Private generators, a synthetic set, a teacher at the server, and a light network everywhere."""

    METHOD = "dsfedmed"
    GENERATES = True
    ONE_SHOT = True

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order; which comparisons there are depends on the settings."""
        base = ("fit base",) if trains_base(settings) else ()
        head = (HEAD_START,) if settings.schedule.head_start_steps else ()
        scored = (SCORE_PARTS,) if settings.robust.parts else ()
        made = ("check sites", *base, "fit branches", "synthesise", "audit", *scored)
        before = (*made, "adapt teacher", *head, "rounds")
        wanted = compared_stages(settings.compare)
        compared = ("evaluate comparison",) if wanted or settings.compare.teacher else ()
        return (*before, *wanted, "evaluate", *compared, *crossed_stages(settings.compare), "release")

    def work(self) -> None:
        """Every stage of the paper, then the methods it is compared with, then the release."""
        check_given_base(self.settings, self.config.generator_base)
        plan = check_sites(self)
        require_auditors(self)
        require_simulation(self)
        base = frozen_base(self, plan)
        branches = fit_branches(self, plan, base)
        manifest = synthesise(self, plan, base, branches)
        sealed = score_parts(self, plan, audit(self, plan, manifest))
        adapted = adapt_teacher(self, plan, sealed)
        heads = self.settings.schedule.head_start_steps > 0
        start = head_start(self, plan, sealed, adapted) if heads else Start(plan.start_weights())
        ours, distilled = distilled_rounds(self, plan, sealed, adapted, start)
        others = compare(self, plan, ours)
        if self.settings.compare.teacher:
            others |= {"teacher_before": ScoredModel(adapted, "teacher"), "teacher": ScoredModel(distilled, "teacher")}
        evaluate(self, plan, {"dsfedmed": ScoredModel(ours.best)}, others)
        release(self, plan, ours.best)
