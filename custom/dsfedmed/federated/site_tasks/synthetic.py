# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_audit``: verify the synthetic set that was pulled, and veto what is too close to own training images."""

from __future__ import annotations

import torch

from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.federated.messages import Message
from dsfedmed.federated.site import Site
from dsfedmed.generator.audit import audit as copy_check

SET_FOLDER = "synthetic"


def open_set(site: Site, manifest: dict[str, object], kept: list[int] | None) -> SyntheticSet:
    """Open the site's copy of the set; every shard is verified against the manifest."""
    return SyntheticSet.open(site.folder / SET_FOLDER, Manifest.from_dict(manifest), kept)


def audit(site: Site, request: Message) -> Message:
    """Compare the whole set with the site's own images; only indices and distances leave."""
    info = request.info
    pool = open_set(site, info["files"]["manifest"], None)
    training = site.arrays("training", info["light"]).images
    held_out = site.arrays("validation", info["light"]).images
    result = copy_check(pool.images(), training, held_out, info["quantile"], site.name)
    answer = {"threshold": result.threshold}
    return Message(answer, {"vetoed": result.vetoed.to(torch.int64), "distances": result.distances})
