# SPDX-License-Identifier: Apache-2.0
"""The rules by which the updates that count become one, on updates that are held on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsfedmed.algorithms.robust.geometric_median import geometric_median
from dsfedmed.algorithms.robust.geometry import gram_matrix
from dsfedmed.algorithms.robust.multi_krum import multi_krum
from dsfedmed.algorithms.robust.norm_clipping import clipping_factors
from dsfedmed.algorithms.robust.order_statistics import coordinate_median, trimmed_mean
from dsfedmed.algorithms.robust.share_cap import capped
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.robust.held_updates import HeldUpdates
from dsfedmed.settings_sections import RobustSettings

if TYPE_CHECKING:
    from dsfedmed.federated.server.averaging import Mean


def combined(
    held: HeldUpdates, sites: Sequence[str], counts: Mapping[str, float], mean: Mean, settings: RobustSettings
) -> dict[str, Tensor]:
    """Return the common difference of these sites.

    Args:
        held: the updates of the round.
        sites: whose updates count, in the order in which the plain mean adds them.
        counts: the sites' training images, or other weights above 0.
        mean: an empty mean, for the rule "mean" and for what is left by the rules that choose or shorten.
        settings: the rule and its numbers.

    Raises:
        ConfigError: too few sites for the rule.
    """
    weights = capped({site: float(counts[site]) for site in sites}, settings.max_share)
    if settings.rule == "median":
        return held.unflatten([coordinate_median(part) for part in held.columns(sites)])
    if settings.rule == "trimmed_mean":
        return held.unflatten([trimmed_mean(part, settings.bad_sites) for part in held.columns(sites)])
    if settings.rule == "geometric_median":
        mixture = geometric_median(gram_matrix(held.columns(sites)), [weights[site] for site in sites])
        return held.unflatten([(mixture @ part.double()).float() for part in held.columns(sites)])
    factors = dict.fromkeys(sites, 1.0)
    if settings.rule == "norm_clipping":
        norms = gram_matrix(held.columns(sites)).diagonal().sqrt()
        factors = dict(zip(sites, clipping_factors(norms).tolist(), strict=True))
    elif settings.rule == "multi_krum":
        chosen = multi_krum(gram_matrix(held.columns(sites)), settings.bad_sites)
        factors = {sites[index]: 1.0 for index in chosen}
    for site, factor in factors.items():
        mean.add(site, _scaled(held.get(site), factor), weights[site])
    return mean.result()


def _scaled(update: Weights, factor: float) -> Weights:
    return update if factor == 1 else {name: torch.mul(tensor, factor) for name, tensor in update.items()}
