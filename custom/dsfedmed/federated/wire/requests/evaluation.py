# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_evaluate``: score finished networks on a site's test part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from dsfedmed.algorithms.appearance.image_statistics import ImageStatistics
from dsfedmed.evaluation.detection import DetectedCounts
from dsfedmed.federated.wire.message import SiteError
from dsfedmed.federated.wire.specs import BundleSpec, NetworkKind, RunFacts, TeacherInit, TeacherSpec
from dsfedmed.ranges import Count, Fraction, Length, Name, Nonnegative, ScoredName, SiteName
from dsfedmed.training.personal_config import PersonalConfig

MAX_CLASSES = 255


@dataclass(frozen=True)
class EvaluateRequest:
    """Score networks, whose weights come as tensors below their names.

    Attributes:
        common: of the run.
        teacher: the teacher's size.
        teacher_init: its frozen part, for networks built on it.
        networks: which network each name is.
        own: names for which a site scores a network of its own where it has one, with the task that made it
            (`dsfedmed.federated.wire.task.Task.own_network`).
        legacy_eval: also score by the authors' protocol.
        pictures: names whose cases are drawn into the site's own folder.
        picture_pair: the method and what it is held against: their differences choose the cases that are drawn.
        personal: options of pFedSAM, where a personal branch is scored.
        site_networks: each site's own bundle, where site-specific networks are scored.
        statistics: names of networks that are given the site's images normalised with their own statistics, and onto
            which ones (FedRDN).
    """

    common: RunFacts
    teacher: TeacherSpec
    teacher_init: TeacherInit | None
    networks: dict[ScoredName, NetworkKind]
    own: dict[ScoredName, Name] = field(default_factory=dict)
    legacy_eval: bool = False
    pictures: tuple[ScoredName, ...] = ()
    personal: PersonalConfig | None = None
    site_networks: dict[SiteName, BundleSpec] = field(default_factory=dict)
    picture_pair: tuple[ScoredName, ScoredName] | None = None
    statistics: dict[ScoredName, ImageStatistics] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ``ValueError`` unless a site's own networks are among those that are scored."""
        if not self.own.keys() <= self.networks.keys():
            raise ValueError("own names a network that is not among networks")


@dataclass(frozen=True)
class CaseScores:
    """One test image's scores, a number for each class; no name.

    Attributes:
        dice: in [0, 1].
        iou: in [0, 1].
        hd95: in pixels.
        case: number of the patient within the site, or None where every image is its own.
    """

    dice: Annotated[tuple[Fraction, ...], Length(MAX_CLASSES)]
    iou: Annotated[tuple[Fraction, ...], Length(MAX_CLASSES)]
    hd95: Annotated[tuple[Nonnegative, ...], Length(MAX_CLASSES)]
    case: Count | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` unless the three have one number for each of the same classes."""
        if not self.dice or len({len(self.dice), len(self.iou), len(self.hd95)}) != 1:
            raise ValueError("dice, iou and hd95 need the same number of classes, at least one")


@dataclass(frozen=True)
class LegacyPair:
    """Dice and IoU by the authors' protocol."""

    dice: Fraction
    iou: Fraction


@dataclass(frozen=True)
class EvaluateReply:
    """Per-case scores by name of the network.

    Attributes:
        cases: of every network asked for.
        legacy: by the authors' protocol, where asked for.
        site_specific: names for which the site scored a network of its own.
        unreleased: names for which it could not write its own network's bundle, with the reason.
        detected: for each class, in how many images it was missed or a false alarm.
    """

    cases: dict[ScoredName, Annotated[tuple[CaseScores, ...], Length(1_000_000)]]
    legacy: dict[ScoredName, LegacyPair] = field(default_factory=dict)
    site_specific: tuple[ScoredName, ...] = ()
    unreleased: dict[ScoredName, SiteError] = field(default_factory=dict)
    detected: dict[ScoredName, Annotated[tuple[DetectedCounts, ...], Length(MAX_CLASSES)]] = field(default_factory=dict)
