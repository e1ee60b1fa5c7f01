# SPDX-License-Identifier: Apache-2.0
"""Tasks that train on a site's labelled images: ``dsf_train``, ``dsf_personal`` and ``dsf_local``."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.algorithms.schedules import RateSchedule
from dsfedmed.federated.wire.specs import (
    JointSet,
    NetworkKind,
    RoundFacts,
    RunFacts,
    SoftLabelChoice,
    TeacherInit,
    TeacherSpec,
)
from dsfedmed.ranges import Count, Fraction, Line, Nonnegative, Positive, Real, Round, Steps
from dsfedmed.training.personal_config import PersonalConfig
from dsfedmed.training.step_rules import AS_THEY_ARE, StepRules


@dataclass(frozen=True)
class TrainRequest:
    """A round of a federated training run; the weights come as tensors.

    Attributes:
        common: of the run.
        round: which round of what.
        network: which network travels.
        teacher: the teacher's size.
        teacher_init: its frozen part, for networks built on it.
        learning_rate: Adam's, of the teacher; the light network's is its bundle's.
        proximal: FedProx's mu.
        synthetic: samples to learn from beside the site's images, in steps of their own.
        joint: pairs to learn from in the same steps.
        notice: what the site's people are to know, for its log; such as that its part of the set is left out.
        validate_trained: whether the site validates what it has trained as well (FedDG-GA).
    """

    common: RunFacts
    round: RoundFacts
    network: NetworkKind
    teacher: TeacherSpec
    teacher_init: TeacherInit | None = None
    learning_rate: Nonnegative = 0.0
    proximal: Nonnegative = 0.0
    synthetic: SoftLabelChoice | None = None
    joint: JointSet | None = None
    notice: Line = ""
    validate_trained: bool = False


@dataclass(frozen=True)
class ContrastRequest:
    """A round of MOON.

    Attributes:
        common: of the run.
        round: which round.
        contrast_weight: mu.
        temperature: tau.
    """

    common: RunFacts
    round: RoundFacts
    contrast_weight: Nonnegative
    temperature: Nonnegative


@dataclass(frozen=True)
class DittoRequest:
    """A round of Ditto.

    Attributes:
        common: of the run.
        round: which round.
        pull: lambda.
    """

    common: RunFacts
    round: RoundFacts
    pull: Nonnegative


@dataclass(frozen=True)
class HeadRequest:
    """A round of FedRep or FedPer; the representation comes as tensors.

    Attributes:
        common: of the run.
        round: which round; its epochs are those of the representation, or with ``head_epochs`` 0 of both together.
        head_epochs: passes in which the head alone learns, before those.
        head_layers: layers of the head; 0 finds it by their widths.
    """

    common: RunFacts
    round: RoundFacts
    head_epochs: Round
    head_layers: Count


@dataclass(frozen=True)
class PersonalRequest:
    """A round of pFedSAM; the global branch comes as tensors.

    Attributes:
        common: of the run.
        round: which round.
        teacher: SAM's size.
        teacher_init: its frozen part.
        config: the method's options.
    """

    common: RunFacts
    round: RoundFacts
    teacher: TeacherSpec
    teacher_init: TeacherInit
    config: PersonalConfig


@dataclass(frozen=True)
class TrainReply:
    """What a round gave; the update comes as tensors.

    Attributes:
        round: its number.
        validation: mean Dice of the weights that arrived on the site's validation part; None where the server does it.
        loss: mean training loss; None where the round validated only.
        steps: gradient steps; None likewise.
        trained: mean Dice, on the same part, of what the site has trained; None where it was not asked for.
    """

    round: Round
    validation: Fraction | None = None
    loss: Real | None = None
    steps: Steps | None = None
    trained: Fraction | None = None


@dataclass(frozen=True)
class LocalRequest:
    """Train a network, whose start weights come as tensors, on the site's images alone.

    Attributes:
        common: of the run.
        epochs: passes.
        batch_size: images a step.
        rate_schedule: the learning rate over the passes.
        rules: of the steps, beside that.
        network: which network.
        teacher: the teacher's size, for networks built on it.
        teacher_init: its frozen part.
        learning_rate: Adam's, of such a network; the light network's is its bundle's.
    """

    common: RunFacts
    epochs: Round
    batch_size: Positive
    rate_schedule: RateSchedule = "constant"
    rules: StepRules = AS_THEY_ARE
    network: NetworkKind = "light"
    teacher: TeacherSpec | None = None
    teacher_init: TeacherInit | None = None
    learning_rate: Nonnegative = 0.0


@dataclass(frozen=True)
class LocalReply:
    """Validation Dice and number of the best epoch, and the gradient steps of all; its weights come as tensors."""

    validation: Fraction
    epoch: Round
    steps: Steps
