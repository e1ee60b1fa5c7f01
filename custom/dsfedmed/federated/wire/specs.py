# SPDX-License-Identifier: Apache-2.0
"""What several requests say: the run's common facts, and which network is meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from dsfedmed.data.manifest import Manifest
from dsfedmed.ranges import (
    Between,
    Channels,
    Classes,
    Index,
    Length,
    Matches,
    Name,
    Nonnegative,
    OptionalSha256,
    Pixels,
    Positive,
    Round,
    Seed,
    Sha256,
    SiteName,
    Token,
)
from dsfedmed.training.step_rules import AS_THEY_ARE, StepRules

NetworkKind: TypeAlias = Literal["light", "teacher", "adapted", "low_rank"]
"""Which network: the light one; the teacher, whole, with FedMSA's adapters or with low-rank updates."""
Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
Autocast: TypeAlias = Literal["off", "bfloat16", "float16"]
BundleName: TypeAlias = Annotated[str, Matches(r"[a-z0-9][a-z0-9_]{0,63}")]
SettingName: TypeAlias = Annotated[str, Matches(r"[a-z][a-z0-9_]{0,63}")]
_PLAIN = r"(?!.*[A-Za-z_]\.[A-Za-z_])[^$@%/\\\x00-\x1f]{0,200}"
SettingText: TypeAlias = Annotated[str, Matches(_PLAIN)]
"""Plain text: no expression, reference or macro of a bundle's parser, no path and no dotted name."""
_Key: TypeAlias = Annotated[str, Matches(f"(?!_){_PLAIN}")]
"""Nor a key that this parser acts on, such as ``_target_``."""
_Entries: TypeAlias = Annotated[list[int | float | SettingText], Length(1000)]
_Names: TypeAlias = Annotated[dict[_Key, SettingText], Length(1000)]
SettingValue: TypeAlias = bool | int | float | SettingText | _Entries | _Names
"""A bundle's declared setting; the bundle's own metadata say which type and range each has."""


@dataclass(frozen=True)
class BundleSpec:
    """A bundle that the site has installed, and the values of its declared settings.

    Attributes:
        bundle: folder name of the installed bundle; never a path.
        settings: declared settings by name.
        sha256: over the bundle's configuration files and the settings.
    """

    bundle: BundleName
    settings: dict[SettingName, SettingValue]
    sha256: Sha256


@dataclass(frozen=True)
class TeacherSpec:
    """The teacher's size.

    Attributes:
        variant: a key of `dsfedmed.networks.promptless_sam.variants.VARIANTS`.
        image_size: side of the square image that it sees, in pixels.
        num_classes: K.
        channels: of its stem, which takes grey images (1) at 3 channels.
        normalise: whether SAM's pixel mean and deviation are taken out inside it.
    """

    variant: Name
    image_size: Pixels
    num_classes: Classes
    channels: Channels = 3
    normalise: bool = False


@dataclass(frozen=True)
class LowRankSpec:
    """Form of the low-rank updates.

    Attributes:
        rank: r.
        alpha: scale; updates are multiplied by alpha / r.
        layers: names of the layers that have one.
    """

    rank: Annotated[int, Between(1, 1024)]
    alpha: Nonnegative
    layers: Annotated[tuple[Name, ...], Length(100)]


@dataclass(frozen=True)
class TeacherInit:
    """The teacher's frozen part, which every site holds itself.

    Attributes:
        sha256: of the weights file; None for a random start.
        seed: of that random start, and of the low-rank updates.
        low_rank: their form.
    """

    sha256: Sha256 | None
    seed: Seed
    low_rank: LowRankSpec


@dataclass(frozen=True)
class RunFacts:
    """What every request about networks says.

    Attributes:
        seed: of the run.
        light: the light network.
        num_classes: K.
        nested: whether a higher label implies the lower ones.
        precision: number format on the wire.
        autocast: number format of training passes.
    """

    seed: Seed
    light: BundleSpec
    num_classes: Classes
    nested: bool
    precision: Precision
    autocast: Autocast


@dataclass(frozen=True)
class FileOffer:
    """A file that a site may pull while its task is open.

    Attributes:
        source: what the transport finds the server by.
        reference: what it finds the file by.
    """

    source: Token
    reference: Token


@dataclass(frozen=True)
class SetOffer:
    """The files of a sealed set that a site may pull while its task is open.

    Attributes:
        manifest: which files, with their hashes.
        source: what the transport finds the server by.
        references: what it finds each shard by.
    """

    manifest: Manifest
    source: Token
    references: dict[Token, Token] = field(default_factory=dict)


@dataclass(frozen=True)
class ReferenceMove:
    """From which weights to which a difference leads (`dsfedmed.federated.server.downlink`).

    Attributes:
        start: hash of the weights it belongs to; empty for the first.
        target: hash of the weights it leads to.
        layout: hash over names and shapes; empty where there is no difference.
        offer: the whole weights, for a site that holds neither; None once the site has pulled them.
    """

    start: OptionalSha256
    target: Sha256
    layout: OptionalSha256 = ""
    offer: FileOffer | None = None


@dataclass(frozen=True)
class RoundFacts:
    """One round of a training run.

    Attributes:
        training: name of the training run; a part of file names at the site, and of seeds.
        round: from 1.
        epochs: passes over the site's images; 0 validates only.
        batch_size: images a gradient step.
        keep_optimizer: whether the optimiser's state lasts over rounds.
        reference: where the weights come as a difference (int8).
        rules: learning rate and gradient of the steps.
    """

    training: Name
    round: Round
    epochs: Round
    batch_size: Positive
    keep_optimizer: bool
    reference: ReferenceMove | None = None
    rules: StepRules = AS_THEY_ARE


@dataclass(frozen=True)
class JointSet:
    """The sealed synthetic set with its masks, for a batch beside every real one.

    Attributes:
        manifest: of the synthetic set.
        kept: indices that the audit kept.
        weight: factor of the loss on these pairs.
        sites: sites that hold the set and train with it.
    """

    manifest: Manifest
    kept: tuple[Index, ...]
    weight: Nonnegative
    sites: tuple[SiteName, ...]


@dataclass(frozen=True)
class SoftLabelChoice:
    """The selected synthetic samples with the teacher's soft labels.

    Attributes:
        manifest: of the synthetic set.
        kept: indices that the audit kept.
        selected: positions among those.
        soft_labels: hash of the soft labels.
        supervised_weight: factor of the loss on the masks.
        kl_weight: factor of the divergence from the soft labels.
        sites: sites that hold the soft labels and train with them.
    """

    manifest: Manifest
    kept: tuple[Index, ...]
    selected: tuple[Index, ...]
    soft_labels: Sha256
    supervised_weight: Nonnegative
    kl_weight: Nonnegative
    sites: tuple[SiteName, ...] = ()
