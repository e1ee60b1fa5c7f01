# SPDX-License-Identifier: Apache-2.0
"""What a run does that its method's paper does not: named from its settings, so that no figure passes for the paper's.

Each method's entry (`dsfedmed.methods`) lists settings with the values that are the paper's, or where the paper is
silent its released code's. The presets ``paper`` have none beyond them (a test). `docs/explanation/fidelity.md` has the
sources. What is not listed is neither: sizes, numbers of steps, and formats of the passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Beyond:
    """One of our additions.

    Attributes:
        setting: dotted key; one under ``light_settings`` is looked up for the run's own bundle.
        paper: the values that are not ours.
        words: what any other value means, for reports.
        default: of a key that a run's settings need not hold (``method``, ``light_settings`` and ``generator_model``).
    """

    setting: str
    paper: tuple[Any, ...]
    words: str
    default: Any = None


GUARDS = (
    Beyond("guard.fall", (0.0,), "rounds after which validation fell are undone"),
    Beyond("robust.gate_norm", (0.0,), "updates of odd length are refused"),
    Beyond("robust.trials", (False,), "the mean is tried without each update"),
    Beyond("robust.rule", ("mean",), "a robust rule instead of the mean"),
    Beyond("robust.max_share", (1.0,), "no site counts more than a share"),
)
LOCAL = (
    Beyond("light.rate_schedule", ("constant",), "a learning rate that falls over the rounds"),
    Beyond("light.ramp_steps", (0,), "a ramp at the start of every round"),
    Beyond("light.clip_norm", (0.0,), "clipped gradients"),
    Beyond("schedule.average_rounds", (0,), "the mean of the last rounds"),
)
WIRE = (Beyond("light.precision", ("fp32",), "fewer than 32 bits a number on the wire"),)
DSFEDMED = (
    Beyond("generator_model.base", ("stable_diffusion",), "a small generator that the sites fit together", "embedded"),
    Beyond("generator_model.lora_rank", (0,), "branches of low rank", 0),
    Beyond("light_settings.loss", ("weighted_bce",), "Dice in the local loss, or no weight", "dice_bce"),
    Beyond("light_settings.augmentation", ("none",), "augmentation at the sites", "standard"),
    Beyond("light.keep_optimizer", (True,), "a new optimiser every round"),
    Beyond("teacher.tune", ("full", "decoder"), "low-rank updates of the teacher"),
    Beyond("teacher.dice_weight", (0.0,), "Dice in the teacher's adaptation"),
    Beyond("teacher.flips", (False,), "flips in the teacher's adaptation"),
    Beyond("teacher.schedule", ("constant",), "a falling rate in the teacher's adaptation"),
    Beyond("distillation.normalise", (False,), "a normalised score"),
    Beyond("distillation.stop_gradient", (False,), "divergences that move one network each"),
    Beyond("schedule.distil_at", ("server",), "distillation at the sites"),
    Beyond("schedule.order", ("paper",), "distillation between the rounds"),
    Beyond("schedule.head_start_steps", (0,), "a head start on the synthetic set"),
    Beyond("schedule.joint_weight", (0.0,), "a synthetic batch beside every real one"),
    Beyond("refit.steps", (0,), "a repair of every mean on the synthetic set"),
    Beyond("robust.parts", (False,), "parts of the set that do harm are left out"),
)
SAMFED = (
    Beyond("teacher.tune", ("lora",), "SAM is not tuned by LoRA"),
    Beyond("method.public_order", ("first",), "public and own images in one step", "beside"),
    Beyond("method.teacher_gate", (False,), "SAM is asked while at least as good as its student", True),
    Beyond("method.teacher_flips", (False,), "SAM's answers are a mean over flips", True),
    Beyond("method.rate_factor", (1.0,), "another learning rate in the rounds", 1.0),
)
PFEDSAM = (
    Beyond("teacher.lora_targets", ("qkv",), "low-rank updates beyond the attention"),
    Beyond("method.mean", ("factors",), "low-rank updates averaged as products", "product"),
    Beyond("method.warmup_rounds", (0,), "rounds of the global branch alone", 0),
    Beyond("method.personal_average", (0.0,), "a running mean of the personal branch", 0.0),
    Beyond("method.personal_learning_rate", (0.0,), "a rate of the personal branch's own", 0.0),
)
FEDBN = (
    Beyond("light_settings.optimizer", ("sgd",), "Adam instead of gradient descent", "adam"),
    Beyond("light_settings.augmentation", ("none",), "augmentation at the sites", "standard"),
)


def beyond_the_paper(entries: Iterable[Beyond], settings: Mapping[str, Any]) -> list[str]:
    """Return in words what of ``entries`` a run's settings switch on.

    A setting that is not there, in the record of an older version, is none; without any there is nothing to say.

    Args:
        entries: of the run's method.
        settings: nested, as `dsfedmed.settings.Settings.to_dict` has them.
    """
    found = []
    for entry in entries if settings else ():
        value = _value(settings, entry)
        if value is not None and value not in entry.paper:
            found.append(entry.words)
    return found


def _value(settings: Mapping[str, Any], entry: Beyond) -> Any:
    section, _, name = entry.setting.partition(".")
    values = _section(settings, section)
    if section == "light_settings":
        named = f"{_section(settings, 'light').get('bundle')}/{name}"
        return values.get(name, values.get(named, entry.default))
    return values.get(name, entry.default)


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a record's settings, which an older version may have written otherwise."""
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}
