# SPDX-License-Identifier: Apache-2.0
"""Every task that a server may ask of a site. Another one is entered here, and nowhere else."""

from __future__ import annotations

from typing import Any

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.requests.amplitudes import (
    AmplitudesReply,
    AmplitudesRequest,
    ExchangedRequest,
    KeepAmplitudesReply,
    KeepAmplitudesRequest,
)
from dsfedmed.federated.wire.requests.evaluation import EvaluateReply, EvaluateRequest
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.requests.generator import (
    BaseReply,
    BaseRequest,
    BranchReply,
    BranchRequest,
    MasksReply,
    MasksRequest,
)
from dsfedmed.federated.wire.requests.semi_supervised import (
    AgreeReply,
    AgreeRequest,
    FuseRequest,
    LabelReply,
    LabelRequest,
    PublicReply,
    PublicRequest,
)
from dsfedmed.federated.wire.requests.statistics import RandomisedRequest, StatisticsReply, StatisticsRequest
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest, SoftLabelsReply, SoftLabelsRequest
from dsfedmed.federated.wire.requests.training import (
    ContrastRequest,
    DittoRequest,
    HeadRequest,
    LocalReply,
    LocalRequest,
    PersonalRequest,
    TrainReply,
    TrainRequest,
)
from dsfedmed.federated.wire.requests.unlabelled import UnlabelledRequest
from dsfedmed.federated.wire.task import Task

_SITE = "dsfedmed.federated.site.tasks"
_BASELINES = f"{_SITE}.baselines"
# Facts report on what the site has now, so that an earlier reply is never given again. A site without facts is left
# out of the whole run, so that a slow one is waited for.
FACTS = Task(
    "dsf_facts", FactsRequest, FactsReply, f"{_SITE}.facts:report_facts", "facts", cached=False, waits_for_all=True
)
BASE = Task("dsf_base", BaseRequest, BaseReply, f"{_SITE}.generator:train_base", "update")
BRANCH = Task("dsf_branch", BranchRequest, BranchReply, f"{_SITE}.generator:fit_site_branch", "branch")
MASKS = Task("dsf_masks", MasksRequest, MasksReply, f"{_SITE}.generator:sample_masks", "masks")
AUDIT = Task("dsf_audit", AuditRequest, AuditReply, f"{_SITE}.synthetic:audit_synthetic_set", "verdict")
# A site holds the latest soft labels alone. Those of an earlier round, which come again where a damaged stage was done
# again, must take their place once more: a kept reply would only say so.
SOFT_LABELS = Task(
    "dsf_soft_labels", SoftLabelsRequest, SoftLabelsReply, f"{_SITE}.soft_labels:keep_soft_labels", "facts",
    cached=False,
)  # fmt: skip
TRAIN = Task("dsf_train", TrainRequest, TrainReply, f"{_SITE}.train:train", "update", carries_update=True)
LOCAL = Task("dsf_local", LocalRequest, LocalReply, f"{_SITE}.train:train_alone", "network")
PERSONAL = Task(
    "dsf_personal", PersonalRequest, TrainReply, f"{_SITE}.personal:train_personal", "update", carries_update=True,
    own_network=f"{_SITE}.personal:best_branch", own_release=f"{_SITE}.personal_release:release_personal",
    own_bundle="personal/release",
)  # fmt: skip
LOCAL_LAYERS = Task(
    "dsf_local_layers", TrainRequest, TrainReply, f"{_SITE}.local_layers:train_shared", "update", carries_update=True,
    own_network=f"{_SITE}.local_layers:best_network", own_release=f"{_SITE}.local_layers:release_own",
    own_bundle="local_layers/release",
)  # fmt: skip
CONTROLLED = Task(
    "dsf_controlled", TrainRequest, TrainReply, f"{_BASELINES}.controlled:train_controlled", "update",
    carries_update=True,
)  # fmt: skip
CONTRAST = Task(
    "dsf_contrast", ContrastRequest, TrainReply, f"{_BASELINES}.contrast:train_in_contrast", "update",
    carries_update=True,
)  # fmt: skip
DITTO = Task(
    "dsf_ditto", DittoRequest, TrainReply, f"{_BASELINES}.ditto:train_both", "update", carries_update=True,
    own_network=f"{_BASELINES}.ditto:best_network", own_release=f"{_BASELINES}.ditto:release_own",
    own_bundle="ditto/release",
)  # fmt: skip
LOCAL_STATISTICS = Task(
    "dsf_local_statistics", TrainRequest, TrainReply, f"{_BASELINES}.statistics:train_shared", "update",
    carries_update=True,
    own_network=f"{_SITE}.local_layers:best_network", own_release=f"{_SITE}.local_layers:release_own",
    own_bundle="local_layers/release",
    adapts=f"{_BASELINES}.statistics:adapt",
)  # fmt: skip
LOCAL_HEAD = Task(
    "dsf_local_head", HeadRequest, TrainReply, f"{_BASELINES}.representation:train_head_and_body", "update",
    carries_update=True,
    own_network=f"{_SITE}.local_layers:best_network", own_release=f"{_SITE}.local_layers:release_own",
    own_bundle="local_layers/release",
)  # fmt: skip
FINE_TUNE = Task(
    "dsf_fine_tune", LocalRequest, LocalReply, f"{_BASELINES}.fine_tuning:fine_tune", "facts",
    own_network=f"{_BASELINES}.fine_tuning:best_network", own_release=f"{_BASELINES}.fine_tuning:release_own",
    own_bundle="fine_tuning/release",
)  # fmt: skip
STATISTICS = Task(
    "dsf_statistics", StatisticsRequest, StatisticsReply, f"{_BASELINES}.randomised:report_statistics", "statistics"
)
RANDOMISED = Task(
    "dsf_randomised", RandomisedRequest, TrainReply, f"{_BASELINES}.randomised:train_randomised", "update",
    carries_update=True,
)  # fmt: skip
SEND_AMPLITUDES = Task(
    "dsf_amplitudes", AmplitudesRequest, AmplitudesReply, f"{_BASELINES}.exchanged:send_amplitudes", "amplitudes"
)
KEEP_AMPLITUDES = Task(
    "dsf_keep_amplitudes", KeepAmplitudesRequest, KeepAmplitudesReply, f"{_BASELINES}.exchanged:keep_amplitudes",
    "facts",
)  # fmt: skip
EXCHANGED = Task(
    "dsf_exchanged", ExchangedRequest, TrainReply, f"{_BASELINES}.exchanged:train_exchanged", "update",
    carries_update=True,
)  # fmt: skip
PUBLIC = Task("dsf_public", PublicRequest, PublicReply, f"{_BASELINES}.unlabelled:keep_public_set", "facts")
UNLABELLED = Task(
    "dsf_unlabelled", UnlabelledRequest, TrainReply, f"{_BASELINES}.unlabelled:train_unlabelled", "update",
    carries_update=True,
)  # fmt: skip
LABEL = Task("dsf_label", LabelRequest, LabelReply, f"{_SITE}.agreement:pseudo_label", "facts")
AGREE = Task(
    "dsf_agree", AgreeRequest, AgreeReply, f"{_SITE}.agreement:train_with_agreement", "update", carries_update=True
)
FUSE = Task(
    "dsf_fuse", FuseRequest, AgreeReply, f"{_SITE}.agreement:train_site_network", "answers",
    own_network=f"{_SITE}.agreement:site_network",
)  # fmt: skip
EVALUATE = Task("dsf_evaluate", EvaluateRequest, EvaluateReply, f"{_SITE}.evaluate:evaluate", "facts")

TASKS: dict[str, Task[Any, Any]] = {
    task.name: task
    for task in (
        FACTS, BASE, BRANCH, MASKS, AUDIT, SOFT_LABELS, TRAIN, LOCAL, PERSONAL, LOCAL_LAYERS, CONTROLLED,
        CONTRAST, DITTO, LOCAL_STATISTICS, LOCAL_HEAD, FINE_TUNE, STATISTICS, RANDOMISED, SEND_AMPLITUDES,
        KEEP_AMPLITUDES, EXCHANGED, PUBLIC, UNLABELLED, LABEL, AGREE, FUSE, EVALUATE,
    )
}  # fmt: skip


def task_named(name: str) -> Task[Any, Any]:
    """Return a task by its name on the wire.

    Raises:
        PayloadError: there is no such task in this version.
    """
    if name not in TASKS:
        raise PayloadError("server", f"asked for the unknown task {name[:60]!r}", SAME_VERSION)
    return TASKS[name]
