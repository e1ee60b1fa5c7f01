# SPDX-License-Identifier: Apache-2.0
"""DSFedMed (arXiv 2601.16073): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.federated.stages.centralised import site_folders
from dsfedmed.federated.stages.check_sites import check_sites
from dsfedmed.federated.stages.comparison import Contender, compare
from dsfedmed.federated.stages.evaluation import evaluate
from dsfedmed.federated.stages.generators import fit_branches, frozen_base, trains_base
from dsfedmed.federated.stages.release import release
from dsfedmed.federated.stages.rounds import distilled_rounds
from dsfedmed.federated.stages.synthetic_set import audit, synthesise
from dsfedmed.federated.stages.teacher import adapt_teacher
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.settings import Settings


class DSFedMed(FederatedWorkflow):
    """Private generators, a synthetic set, a teacher at the server, and a light network everywhere."""

    METHOD = "dsfedmed"

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order; which comparisons there are depends on the settings."""
        asked = settings.compare
        compared = {
            "compare fedavg": asked.fedavg or asked.equal_steps,
            "compare equal steps": asked.equal_steps,
            "compare fedprox": asked.fedprox,
            "compare local": asked.local,
            "compare centralised": asked.centralised,
            "compare fedsam": asked.fedsam,
            "compare fedmsa": asked.fedmsa,
        }
        base = ("fit base",) if trains_base(settings) else ()
        before = ("check sites", *base, "fit branches", "synthesise", "audit", "adapt teacher", "rounds")
        wanted = tuple(name for name, is_wanted in compared.items() if is_wanted)
        scored = ("evaluate comparison",) if wanted or asked.teacher else ()
        return (*before, *wanted, "evaluate", *scored, "release")

    def work(self) -> None:
        """Every stage of the paper, then the methods it is compared with, then the release."""
        plan = check_sites(self)
        if self.settings.compare.centralised:
            site_folders(self)  # where it cannot be done, say so before hours of work
        base = frozen_base(self, plan)
        branches = fit_branches(self, plan, base)
        manifest = synthesise(self, plan, base, branches)
        sealed = audit(self, plan, manifest)
        adapted = adapt_teacher(self, plan, sealed)
        ours, distilled = distilled_rounds(self, plan, sealed, adapted)
        others = compare(self, plan, ours)
        if self.settings.compare.teacher:
            others |= {"teacher_before": Contender(adapted, "teacher"), "teacher": Contender(distilled, "teacher")}
        evaluate(self, plan, Contender(ours.best), others)
        release(self, plan, ours)
