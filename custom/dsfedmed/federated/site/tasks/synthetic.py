# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_audit``: verify the synthetic set that was pulled, and veto what is too close to own training images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.errors import PayloadError
from dsfedmed.federated.party.folders import AUDITS, SET_FOLDER
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.own_look import own_look
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest
from dsfedmed.generator.audit import audit as copy_check
from dsfedmed.store.files import read_json, write_json


def open_set(site: SiteContext, manifest: Manifest, kept: Sequence[int] | None) -> SyntheticSet:
    """Open the site's copy of the set; every shard is verified against the manifest."""
    return SyntheticSet.open(site.folder / SET_FOLDER, manifest, None if kept is None else list(kept))


def public_arrays(site: SiteContext, manifest: Manifest) -> SiteArrays:
    """Return images and labels of the server's public set, read once per worker."""
    key = ("public", manifest.sha256)
    if key not in site.samples:
        found = open_set(site, manifest, None)
        site.samples[key] = SiteArrays(found.images(), found.labels(), ("",) * len(found))
    return site.samples[key]


def require_own_audit(site: SiteContext, manifest: Manifest, kept: Sequence[int]) -> None:
    """Refuse a synthetic set that this site has not audited, or that still holds what it vetoed.

    Does nothing where the site switched the rule off (``require_audit``).

    Raises:
        PayloadError: the set must not be used here.
    """
    if not site.config.require_audit:
        return
    file = _verdict_file(site, manifest)
    if not file.exists():
        reason = "it takes no synthetic set that it has not audited (the site's rule `require_audit`)"
        raise PayloadError(site.name, reason, "Let it take part in the audit, or leave it out of distillation at sites")
    against = sorted(set(read_json(file)["vetoed"]) & set(kept))
    if against:
        reason = f"the synthetic set still holds {len(against)} images that it vetoed"
        raise PayloadError(site.name, reason, "Take out what the sites vetoed")


def audit_synthetic_set(site: SiteContext, request: Envelope[AuditRequest]) -> Envelope[AuditReply]:
    """Compare the whole set with the site's own images; only indices and distances leave.

    The images are read as the site reads them, whatever bundle and settings the job names, and the share that is vetoed
    by chance is the site's own ``audit_quantile`` where the job asks for less.
    """
    body = request.body
    manifest, quantile = body.files.manifest, max(body.quantile, site.config.audit_quantile)
    pool = open_set(site, manifest, None)
    training, held_out = (own_look(site.datalist, part, manifest.channels) for part in ("training", "validation"))
    patients = [item.case for item in site.datalist.parts["training"]]
    result = copy_check(pool.images(), training, held_out, quantile, site.name, patients)
    if not body.keep:
        shutil.rmtree(site.folder / SET_FOLDER)
    write_json(_verdict_file(site, manifest), {"vetoed": result.vetoed.tolist(), "quantile": quantile})
    tensors = {"vetoed": result.vetoed.to(torch.int64), "distances": result.distances}
    return Envelope(AuditReply(result.threshold), tensors)


def _verdict_file(site: SiteContext, manifest: Manifest) -> Path:
    return site.folder / AUDITS / f"{manifest.sha256[:16]}.json"
