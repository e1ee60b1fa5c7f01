# SPDX-License-Identifier: Apache-2.0
"""What a site does for each task. A new method adds its tasks here, a file each."""

from __future__ import annotations

from dsfedmed.federated.site.context import SiteTask
from dsfedmed.federated.site.tasks.agreement import agree, fuse, label
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.site.tasks.facts import facts
from dsfedmed.federated.site.tasks.generator import base, branch, masks
from dsfedmed.federated.site.tasks.personal import personal
from dsfedmed.federated.site.tasks.soft_labels import keep_soft_labels
from dsfedmed.federated.site.tasks.synthetic import audit
from dsfedmed.federated.site.tasks.train import local, train

TASKS: dict[str, SiteTask] = {
    "dsf_facts": facts,
    "dsf_base": base,
    "dsf_branch": branch,
    "dsf_masks": masks,
    "dsf_audit": audit,
    "dsf_soft_labels": keep_soft_labels,
    "dsf_train": train,
    "dsf_local": local,
    "dsf_personal": personal,
    "dsf_label": label,
    "dsf_agree": agree,
    "dsf_fuse": fuse,
    "dsf_evaluate": evaluate,
}

# Reports on what the site has now, so an earlier reply is never given again.
UNCACHED = frozenset({"dsf_facts"})
