# SPDX-License-Identifier: Apache-2.0
"""A site's personal branch of pFedSAM as a MONAI bundle in the site's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, required_init
from dsfedmed.federated.site.tasks.own_release import write_own_release
from dsfedmed.federated.wire.codec import SAME_VERSION, to_object
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.networks.personal_sam import personal_settings
from dsfedmed.networks.promptless_sam import BUNDLE

FOLDER, NOTE = "personal/release", "a site's personal branch of a pFedSAM federation"


def release_personal(
    site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]
) -> Path:
    """Write the branch as a bundle with its figures on the site's own test part.

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
    settings = {
        "image_size": [teacher.image_size] * 2,
        "variant": teacher.variant,
        "normalise": teacher.normalise,
        **personal_settings(to_object(form), config.experts, config.top_k),
    }
    folder = site.config.need("bundles") / BUNDLE
    bundle = BundleDefinition(folder, settings, also_allowed=site.config.bundle_classes)
    return write_own_release(site, common, bundle, network, cases, FOLDER, NOTE)
