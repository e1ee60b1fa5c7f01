# SPDX-License-Identifier: Apache-2.0
"""Tasks around the synthetic set: ``dsf_audit`` and ``dsf_soft_labels``."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.federated.wire.specs import RunFacts, SetOffer, SoftLabelChoice
from dsfedmed.ranges import Distance, Fraction, Round, Sha256


@dataclass(frozen=True)
class AuditRequest:
    """Compare the set with the site's own training images.

    Attributes:
        common: of the run.
        files: the set, to be pulled.
        quantile: share of images that are no copies and are vetoed all the same; the site takes its own
            ``audit_quantile`` where that is greater.
        keep: whether the site keeps the set, to train with it; if not, it deletes it after the audit.
    """

    common: RunFacts
    files: SetOffer
    quantile: Fraction
    keep: bool = True


@dataclass(frozen=True)
class AuditReply:
    """The distance below which an image is vetoed; indices and distances come as tensors."""

    threshold: Distance


@dataclass(frozen=True)
class SoftLabelsRequest:
    """Keep the teacher's soft labels, which come as tensors, for the rounds that follow ``round``."""

    common: RunFacts
    round: Round
    synthetic: SoftLabelChoice


@dataclass(frozen=True)
class SoftLabelsReply:
    """Hash of what was kept."""

    round: Round
    kept: Sha256
