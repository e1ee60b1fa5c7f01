# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_soft_labels``: keep the teacher's soft labels of the selected samples for the rounds that follow."""

from __future__ import annotations

from pathlib import Path

from dsfedmed.data.arrays import SiteArrays
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.synthetic import open_set, require_own_audit
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import SoftLabelsReply, SoftLabelsRequest
from dsfedmed.federated.wire.specs import JointSet, SoftLabelChoice
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.training.distillation.soft_labels import decode_soft
from dsfedmed.training.synthetic_source import SyntheticSource


def keep_soft_labels(site: SiteContext, request: Envelope[SoftLabelsRequest]) -> Envelope[SoftLabelsReply]:
    """Check the soft labels and the selection, and keep them on disk; older ones are not needed any more."""
    body, chosen = request.body, request.body.synthetic
    require_own_audit(site, chosen.manifest, chosen.kept)
    if set(request.tensors) != {"levels"}:
        raise PayloadError("server", "sent no soft labels", SAME_VERSION)
    decode_soft(request.tensors["levels"], len(chosen.selected), body.common.num_classes, "server")
    write_tensors(_file(site), request.tensors)
    return Envelope(SoftLabelsReply(body.round, digest(request.tensors)))


def synthetic_source(site: SiteContext, chosen: SoftLabelChoice | None, num_classes: int) -> SyntheticSource | None:
    """Return the selected synthetic samples with the teacher's soft labels, if the request names this site for them.

    Raises:
        PayloadError: the soft labels here are not those that the request means.
    """
    if chosen is None or site.name not in chosen.sites:
        return None
    path = _file(site)
    tensors = read_tensors(path) if path.exists() else {}
    if digest(tensors) != chosen.soft_labels:
        raise PayloadError(site.name, "holds other soft labels than the round uses", "They are sent again next round")
    require_own_audit(site, chosen.manifest, chosen.kept)
    samples = _samples(site, chosen)
    soft = decode_soft(tensors["levels"], len(samples), num_classes, "server")
    return SyntheticSource(samples.images, samples.labels, soft, chosen.supervised_weight, chosen.kl_weight)


def joint_source(site: SiteContext, chosen: JointSet | None) -> SyntheticSource | None:
    """Return the pairs of the other sites' branches, masks alone, if the request names this site for them.

    A site's own kind of image is in its real batch already; with no other kind in the set, the whole set is taken.

    Raises:
        PayloadError: the set must not be used here, as `require_own_audit` says.
    """
    if chosen is None or site.name not in chosen.sites:
        return None
    require_own_audit(site, chosen.manifest, chosen.kept)
    key = ("joint", f"{chosen.manifest.sha256}:{hash(chosen.kept)}")
    if key not in site.samples:
        pool = open_set(site, chosen.manifest, chosen.kept)
        others = [index for index, origin in enumerate(pool.origin) if origin != site.name]
        indices = others or list(range(len(pool)))
        site.samples[key] = SiteArrays(pool.images(indices), pool.labels(indices), ("",) * len(indices))
    pairs = site.samples[key]
    return SyntheticSource(pairs.images, pairs.labels, None, chosen.weight, 0.0)


def _samples(site: SiteContext, chosen: SoftLabelChoice) -> SiteArrays:
    """Read the selected samples, once per selection."""
    key = ("synthetic", chosen.soft_labels)
    if key not in site.samples:
        pool = open_set(site, chosen.manifest, chosen.kept)
        indices = list(chosen.selected)
        if max(indices, default=-1) >= len(pool):
            raise PayloadError("server", "selected samples that are not in the set", SAME_VERSION)
        for old in [known for known in site.samples if known[0] == "synthetic"]:
            del site.samples[old]
        site.samples[key] = SiteArrays(pool.images(indices), pool.labels(indices), ("",) * len(indices))
    return site.samples[key]


def _file(site: SiteContext) -> Path:
    return site.folder / "soft_labels.safetensors"
