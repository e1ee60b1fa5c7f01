# SPDX-License-Identifier: Apache-2.0
"""Tasks of sites without labels: SAM-Fed's ``dsf_label``, ``dsf_agree`` and ``dsf_fuse``; others' ``dsf_public``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dsfedmed.data.manifest import Manifest
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.specs import BundleSpec, RoundFacts, RunFacts, SetOffer, TeacherInit, TeacherSpec
from dsfedmed.ranges import Count, Fraction, SiteName
from dsfedmed.training.semi_supervised.config import SamFedConfig


@dataclass(frozen=True)
class PublicRequest:
    """Pull and verify the public set, which comes with no network.

    Attributes:
        files: the public set.
    """

    files: SetOffer


@dataclass(frozen=True)
class PublicReply:
    """How many public images are here."""

    public: Count


@dataclass(frozen=True)
class LabelRequest:
    """Let SAM, whose tuned part comes as tensors, label the site's images.

    Attributes:
        common: of the run.
        files: the public set, to be pulled.
        kind: what travels of the teacher.
        teacher: its size.
        teacher_init: its frozen part, for ``kind`` "low_rank".
        config: the method's options.
    """

    common: RunFacts
    files: SetOffer
    kind: Literal["teacher", "low_rank"]
    teacher: TeacherSpec
    teacher_init: TeacherInit | None
    config: SamFedConfig


@dataclass(frozen=True)
class LabelReply:
    """How many images were labelled, how many public ones are here, and SAM's mean confidence."""

    images: Count
    public: Count
    confidence: Fraction


@dataclass(frozen=True)
class AgreeRequest:
    """A round under the agreement of SAM and the local network; the global weights come as tensors.

    Attributes:
        common: of the run.
        round: which round.
        public: the public set.
        config: the method's options.
        teacher_active: whether SAM's labels count in this round.
    """

    common: RunFacts
    round: RoundFacts
    public: Manifest
    config: SamFedConfig
    teacher_active: bool


@dataclass(frozen=True)
class AgreeReply(TrainReply):
    """What a round gave; ``agreement``, given by name, is the share of pixels on which SAM and the network agree."""

    agreement: Fraction = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class FuseRequest:
    """A round of sites with networks of their own; the server's answers to the public images come as tensors.

    Attributes:
        common: of the run.
        round: which round.
        public: the public set.
        config: the method's options.
        teacher_active: whether SAM's labels count in this round.
        networks: each site's own bundle.
    """

    common: RunFacts
    round: RoundFacts
    public: Manifest
    config: SamFedConfig
    teacher_active: bool
    networks: dict[SiteName, BundleSpec]
