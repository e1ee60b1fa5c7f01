# SPDX-License-Identifier: Apache-2.0
"""A site's personal branch as a MONAI bundle in the site's own folder. Nothing of it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from dsfedmed.bundles.release import write_release
from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import DSFedMedError
from dsfedmed.evaluation.metrics import METRICS, CaseMetrics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.networks.personal_sam import personal_settings
from dsfedmed.reporting.summary import stratum
from dsfedmed.training.personal import PersonalConfig

BUNDLE = "promptless_sam_segmentation"
FOLDER = "personal/release"


def try_release(
    site: SiteContext, info: dict[str, Any], network: nn.Module, cases: Sequence[CaseMetrics]
) -> dict[str, str] | None:
    """Do `release_personal`; return what the server may know of a failure, which must not cost the scores."""
    try:
        release_personal(site, info, network, cases)
    except DSFedMedError as error:
        return site.public_error(error)
    return None


def release_personal(site: SiteContext, info: dict[str, Any], network: nn.Module, cases: Sequence[CaseMetrics]) -> Path:
    """Write the branch with its figures on the site's own test part, ready for `monai.bundle` and MONAI Label.

    Args:
        site: whose branch it is.
        info: the request that had it scored.
        network: the branch.
        cases: its scores.
    """
    config, teacher, light = PersonalConfig.from_dict(info["method"]), info["teacher"], info["light"]["settings"]
    facts = FederationFacts(light["in_channels"], info["num_classes"], site.datalist.label_names, info["nested"])
    settings = {
        "image_size": [teacher["image_size"]] * 2,
        "variant": teacher["variant"],
        **personal_settings(info["teacher_init"]["low_rank"], config.experts, config.top_k),
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
