# SPDX-License-Identifier: Apache-2.0
"""Tasks of the generator: ``dsf_base``, ``dsf_branch`` and ``dsf_masks``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dsfedmed.federated.wire.specs import RunFacts
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.ranges import Positive, Real, Round, Sha256, Steps


@dataclass(frozen=True)
class BaseRequest:
    """A round of the common base; its weights come as tensors.

    Attributes:
        common: of the run.
        generator: the generator.
        round: from 1.
        steps: gradient steps of this round.
        first_step: steps done in earlier rounds.
        total_steps: steps of all rounds, for the learning rate's course.
    """

    common: RunFacts
    generator: GeneratorConfig
    round: Round
    steps: Steps
    first_step: Steps
    total_steps: Steps


@dataclass(frozen=True)
class BaseReply:
    """The mean loss of that round; the difference comes as tensors."""

    round: Round
    loss: Real


@dataclass(frozen=True)
class BranchRequest:
    """Fit the site's branch beside the frozen base, whose weights come as tensors where the sites trained it.

    Attributes:
        common: of the run.
        generator: the generator.
        generator_base: hash of the Stable Diffusion folder that every party has; None for the embedded base.
        steps: gradient steps.
    """

    common: RunFacts
    generator: GeneratorConfig
    generator_base: Sha256 | None
    steps: Steps


@dataclass(frozen=True)
class BranchReply:
    """The mean loss; what was trained of the branch comes as tensors."""

    loss: Real


@dataclass(frozen=True)
class MasksRequest:
    """Asks for ``count`` label maps to sample from."""

    common: RunFacts
    count: Positive


@dataclass(frozen=True)
class MasksReply:
    """Whether the label maps, which come as bit planes, are deformed ones or the drawn ones as they are."""

    kind: Literal["deformed", "drawn"]
