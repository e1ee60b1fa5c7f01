# SPDX-License-Identifier: Apache-2.0
"""A site's personal branch as a MONAI bundle in the site's own folder. Nothing of it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from torch import nn

from dsfedmed.bundles.release import write_release
from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.evaluation.metrics import METRICS, CaseMetrics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, required_init
from dsfedmed.federated.wire.codec import SAME_VERSION, to_object
from dsfedmed.federated.wire.message import SiteError
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.networks.personal_sam import personal_settings
from dsfedmed.networks.promptless_sam import BUNDLE
from dsfedmed.reporting.summary import stratum

FOLDER = "personal/release"


def try_release(
    site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]
) -> SiteError | None:
    """Do `release_personal`; return what the server may know of a failure, which must not cost the scores."""
    try:
        release_personal(site, body, network, cases)
    except DSFedMedError as error:
        return site.public_error(error)
    return None


def release_personal(
    site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]
) -> Path:
    """Write the branch with its figures on the site's own test part, ready for `monai.bundle` and MONAI Label.

    Args:
        site: whose branch it is.
        body: the request that had it scored.
        network: the branch.
        cases: its scores.

    Raises:
        PayloadError: the request names no options of pFedSAM.
    """
    config, teacher, common = body.personal, body.teacher, body.common
    if config is None:
        raise PayloadError("server", "named no options of pFedSAM", SAME_VERSION)
    form = required_init(NetworkSpecs(common.light, teacher, body.teacher_init)).low_rank
    channels = site.bundle(common.light).in_channels
    facts = FederationFacts(channels, common.num_classes, site.datalist.label_names, common.nested)
    settings = {
        "image_size": [teacher.image_size] * 2,
        "variant": teacher.variant,
        **personal_settings(to_object(form), config.experts, config.top_k),
    }
    scores = {name: fmean(stratum(cases, name).values) for name in METRICS}
    return write_release(
        site.config.need("bundles") / BUNDLE,
        site.folder / FOLDER,
        {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()},
        settings,
        facts,
        {"own site": scores},
        also_allowed=site.config.bundle_classes,
        note="a site's personal branch of a pFedSAM federation",
    )
