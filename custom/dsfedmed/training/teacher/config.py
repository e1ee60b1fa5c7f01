# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the teacher's adaptation (`dsfedmed.training.teacher.adapt`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dsfedmed.networks.lora_targets import TARGETS
from dsfedmed.options import read_options, require, require_choice
from dsfedmed.training.precision import AUTOCAST, Autocast


@dataclass(frozen=True)
class TeacherConfig:
    """Hyper-parameters of the teacher's adaptation.

    Attributes:
        epochs: passes over the pool.
        batch_size: images a step.
        learning_rate: AdamW's, at the start.
        weight_decay: AdamW's.
        schedule: "constant", or "cosine" down to zero over all steps.
        tune: what learns: the mask "decoder" alone, the decoder and a low-rank update of the image encoder ("lora"),
            or everything ("full").
        lora_rank: r of the low-rank update; at ViT-B 36,864 r parameters on ``qkv``.
        lora_alpha: the update is scaled by alpha / r.
        lora_targets: layers to adapt, by commas: qkv, proj (attention), lin1, lin2 (MLP) of each encoder block, stem
            (the convolutions that make the tokens).
        pos_weight: factor of positive pixels in the BCE; the release has 2.
        dice_weight: factor of the soft Dice loss beside the BCE.
        flips: flip images and labels along either axis at random, half of the time each.
        autocast: format of the forward pass, "off" (float32), "bfloat16" or "float16"; weights, loss and update stay
            float32. bfloat16 is about twice as fast on CPUs that have it and slower on those that do not.
        normalise: subtract SAM's pixel mean and divide by its deviation inside the teacher, wherever it is run. SAM's
            official weights were trained so; the authors' code does not do it, nor do we by default.
        checkpoint_blocks: recompute the encoder's blocks in the backward pass: less memory for a second forward.
    """

    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    schedule: Literal["constant", "cosine"] = "cosine"
    tune: Literal["decoder", "lora", "full"] = "full"
    lora_rank: int = 4
    lora_alpha: float = 4.0
    lora_targets: str = "qkv"
    pos_weight: float = 2.0
    dice_weight: float = 1.0
    flips: bool = True
    autocast: Autocast = "off"
    normalise: bool = False
    checkpoint_blocks: bool = False

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        for name in ("epochs", "batch_size", "learning_rate", "pos_weight", "lora_rank", "lora_alpha"):
            require(getattr(self, name) > 0, f"teacher.{name}", "it is not above 0", "Give a positive number")
        for name in ("weight_decay", "dice_weight"):
            require(getattr(self, name) >= 0, f"teacher.{name}", "it is negative", "Give 0 or more")
        require_choice("teacher.schedule", self.schedule, ("constant", "cosine"))
        require_choice("teacher.tune", self.tune, ("decoder", "lora", "full"))
        require_choice("teacher.autocast", self.autocast, AUTOCAST)
        for layer in self.lora_layers:
            require_choice("teacher.lora_targets", layer, TARGETS)

    @property
    def lora_layers(self) -> tuple[str, ...]:
        """``lora_targets`` as names."""
        return tuple(name.strip() for name in self.lora_targets.split(","))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "teacher") -> TeacherConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-ready values."""
        return asdict(self)
