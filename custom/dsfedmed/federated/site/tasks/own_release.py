# SPDX-License-Identifier: Apache-2.0
"""A network that a site keeps for itself, as a MONAI bundle in the site's own folder. Nothing of it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from torch import nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.data.facts import FederationFacts
from dsfedmed.evaluation.metrics import METRICS, CaseMetrics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.specs import RunFacts
from dsfedmed.reporting.summary import stratum


def write_own_release(
    site: SiteContext,
    common: RunFacts,
    bundle: BundleDefinition,
    network: nn.Module,
    cases: Sequence[CaseMetrics],
    folder: str,
    note: str,
) -> Path:
    """Write a site's own network with its figures on the site's test part, for `monai.bundle` and MONAI Label.

    Args:
        site: whose network it is.
        common: of the run.
        bundle: defines the network.
        network: the network.
        cases: its scores.
        folder: where the bundle is written, below the site's own folder.
        note: the bundle's changelog entry.
    """
    channels = site.bundle(common.light).in_channels
    labels, names = site.datalist.label_names, site.datalist.sorted_channel_names
    facts = FederationFacts(channels, common.num_classes, labels, common.nested, names, site.datalist.window)
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    scores = {name: fmean(stratum(cases, name).values) for name in METRICS}
    own = {"own site": scores}
    target, allowed = site.folder / folder, bundle.also_allowed
    return write_release(bundle.folder, target, weights, bundle.settings, facts, own, also_allowed=allowed, note=note)
