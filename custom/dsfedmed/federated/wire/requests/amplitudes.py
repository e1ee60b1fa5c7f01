# SPDX-License-Identifier: Apache-2.0
"""Tasks of FedDG: ``dsf_amplitudes``, ``dsf_keep_amplitudes`` and ``dsf_exchanged``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from dsfedmed.federated.wire.specs import RoundFacts, RunFacts
from dsfedmed.ranges import Between, Sha256

MOST_IMAGES = 1000
Band: TypeAlias = Annotated[float, Between(0, 0.49)]
Shared: TypeAlias = Annotated[int, Between(1, MOST_IMAGES)]
AMPLITUDES = "amplitudes"
"""Name of a site's tensor; followed by / and the site where they are all together."""


@dataclass(frozen=True)
class AmplitudesRequest:
    """Asks for low amplitudes of training images; a site that does not permit it refuses.

    Attributes:
        common: of the run: the bundle says how images are prepared.
        band: L, share of an image's side.
        images: most images of a site.
    """

    common: RunFacts
    band: Band
    images: Shared


@dataclass(frozen=True)
class AmplitudesReply:
    """Of how many images; they come as one tensor, float32 in [0, 1], (images, C, 2 b + 1, 2 b + 1)."""

    images: Shared


@dataclass(frozen=True)
class KeepAmplitudesRequest:
    """Keep every site's amplitudes, which come as tensors, for the rounds that follow."""

    sha256: Sha256


@dataclass(frozen=True)
class KeepAmplitudesReply:
    """Hash of what was kept."""

    kept: Sha256


@dataclass(frozen=True)
class ExchangedRequest:
    """A round of FedDG; the weights come as tensors.

    Attributes:
        common: of the run.
        round: which round.
        band: L.
        kept: hash of the amplitudes that the site was sent.
    """

    common: RunFacts
    round: RoundFacts
    band: Band
    kept: Sha256
