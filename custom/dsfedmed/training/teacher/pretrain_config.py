# SPDX-License-Identifier: Apache-2.0
"""Settings of one pre-training of the small teacher."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.errors import ConfigError


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of one pre-training.

    Attributes:
        variant: teacher variant, see ``networks.promptless_sam.variants``.
        image_size: side of the encoder's input, in pixels.
        steps: gradient steps at most.
        batch_size: images a step.
        minutes: wall-clock limit; the learning rate then decays with the clock if that is the tighter limit, which
            makes the result depend on the machine's speed. None: the steps alone decide and the run is replayable.
        learning_rate: peak of AdamW's learning rate.
        weight_decay: AdamW's weight decay.
        warm_up: share of the run in which the learning rate rises linearly.
        bfloat16: run the network's matrix products in bfloat16 (weights stay float32); about twice as fast on CPUs
            that have it.
        seed: seed of weights, sampling and augmentation.
        device: torch device.
    """

    variant: str = "small"
    image_size: int = 64
    steps: int = 4000
    batch_size: int = 16
    minutes: float | None = None
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warm_up: float = 0.05
    bfloat16: bool = True
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"pretrain {name}", f"{getattr(self, name)} is not positive", "Give more than 0.")
        if self.minutes is not None and self.minutes <= 0:
            raise ConfigError("pretrain minutes", f"{self.minutes} is not positive", "Leave it out for no limit.")
