# SPDX-License-Identifier: Apache-2.0
"""Tasks of the generator: ``dsf_base``, ``dsf_branch`` and ``dsf_masks``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dsfedmed.federated.wire.specs import RunFacts
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.ranges import Fraction, Nonnegative, Positive, Real, Round, Sha256, Steps


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
class BranchPrivacy:
    """What a job asks of a branch; a site may insist on more.

    Attributes:
        epsilon: most that it costs each patient; 0 where the job asks for nothing.
        delta: for which; 0: 1 / (10 n).
        clip: norm of each patient's gradient.
        draws: noise and timesteps of each drawn image.
    """

    epsilon: Nonnegative = 0.0
    delta: Fraction = 0.0
    clip: Nonnegative = 1.0
    draws: Positive = 1


@dataclass(frozen=True)
class BranchStatement:
    """What a site states about a branch that it fitted privately, for the run's record.

    Attributes:
        unit: what is protected: a patient with all images.
        clip: norm of each patient's gradient.
        noise_multiplier: standard deviation of the noise on their sum, in units of it.
        rate: share of the patients that a step draws in the mean.
        steps: gradient steps.
        epsilon: that this branch costs.
        delta: for which.
        total_epsilon: that all branches of the site have cost so far, over all runs.
        branches: how many those are.
    """

    unit: Literal["patient"]
    clip: Nonnegative
    noise_multiplier: Nonnegative
    rate: Fraction
    steps: Steps
    epsilon: Nonnegative
    delta: Fraction
    total_epsilon: Nonnegative
    branches: Positive


@dataclass(frozen=True)
class BranchRequest:
    """Fit the site's branch beside the frozen base, whose weights come as tensors where the sites trained it.

    Attributes:
        common: of the run.
        generator: the generator.
        generator_base: hash of the Stable Diffusion folder that every party has; None for the embedded base.
        steps: gradient steps.
        privacy: what the job asks for.
    """

    common: RunFacts
    generator: GeneratorConfig
    generator_base: Sha256 | None
    steps: Steps
    privacy: BranchPrivacy = field(default_factory=BranchPrivacy)


@dataclass(frozen=True)
class BranchReply:
    """What was trained of the branch comes as tensors.

    Attributes:
        loss: the mean loss; None where the branch is private, for it would be a figure of images without noise.
        privacy: what a private branch costs.
    """

    loss: Real | None
    privacy: BranchStatement | None = None


@dataclass(frozen=True)
class MasksRequest:
    """Asks for ``count`` label maps to sample from."""

    common: RunFacts
    count: Positive


@dataclass(frozen=True)
class MasksReply:
    """Whether the label maps, which come as bit planes, are deformed ones or the drawn ones as they are."""

    kind: Literal["deformed", "drawn"]
