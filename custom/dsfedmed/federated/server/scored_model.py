# SPDX-License-Identifier: Apache-2.0
"""A finished network that is scored at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.wire.specs import BundleSpec, NetworkKind
from dsfedmed.federated.wire.task import Task
from dsfedmed.training.personal_config import PersonalConfig


@dataclass(frozen=True)
class ScoredModel:
    """A finished network that is scored at the end.

    Attributes:
        weights: its weights.
        network: what it is.
        own: the task whose network a site keeps for itself and scores in place of this one; None for none.
        sites: the sites that score it; None for all. (A site's own network is scored there and at the unseen sites.)
        personal: options of pFedSAM, where sites score their personal branches.
        site_networks: each site's own bundle, where sites score networks of their own.
        statistics: onto which the sites normalise their images before this network sees them; empty for not at all.
    """

    weights: Weights
    network: NetworkKind = "light"
    sites: tuple[str, ...] | None = None
    own: Task[Any, Any] | None = None
    personal: PersonalConfig | None = None
    site_networks: Mapping[str, BundleSpec] = field(default_factory=dict)
    statistics: tuple[ChannelStatistics, ...] = ()
